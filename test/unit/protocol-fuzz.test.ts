import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AntennaError, parsePolicy, policyDelta, policyDigest } from "@antenna/sdk";
import {
  agentService,
  assemblePart,
  encodeSessionResponse,
  PolicyAssembler,
  policyParts,
} from "@antenna/sdk/protocol";
import fc from "fast-check";
import { documentText, policyDocument } from "./policy-arbitrary.js";
import {
  pairRequest,
  pairResponse,
  renewRequest,
  renewResponse,
  sessionRequest,
  sessionResponse,
} from "./protocol-arbitrary.js";
import { Random, runSeed } from "./random.js";

const seed = runSeed("protocol-fuzz");
const mutations = process.env.ANTENNA_SOAK === "1" ? 10_000_000 : 60_000;
const { pair, renew, session } = agentService;
const version = { epoch: 1, sequence: 5 };

type Decoder = (bytes: Buffer) => unknown;

/** Every way in, with real messages for it. */
const doors: readonly (readonly [string, Decoder, readonly Uint8Array[]])[] = [
  ["Pair, request", pair.requestDeserialize, sample(pairRequest).map(pair.requestSerialize)],
  ["Pair, response", pair.responseDeserialize, sample(pairResponse).map(pair.responseSerialize)],
  ["Renew, request", renew.requestDeserialize, sample(renewRequest).map(renew.requestSerialize)],
  ["Renew, response", renew.responseDeserialize, sample(renewResponse).map(renew.responseSerialize)],
  ["Session, request", session.requestDeserialize, sample(sessionRequest).map(session.requestSerialize)],
  ["Session, response", takeIn, [...sample(sessionResponse).map(session.responseSerialize), ...policies()]],
];

function sample<Message>(messages: fc.Arbitrary<Message>): Message[] {
  return fc.sample(messages, { seed, numRuns: 60 });
}

/** Whole policies, deltas and previews. */
function policies(): Uint8Array[] {
  const documents = fc.sample(policyDocument, { seed, numRuns: 30 });
  return documents.flatMap((document, index) => {
    const policy = parsePolicy(documentText(document));
    const before = parsePolicy(documentText(documents[(index + 1) % documents.length] ?? document));
    const seal = { version, digest: policyDigest(policy), proof: new Uint8Array(80), probation: false };
    return [...policyParts(policy, seal, 700), ...policyParts(policyDelta(before, policy), seal, 700)].map(
      (part) =>
        encodeSessionResponse(
          part.header?.base === null && part.last
            ? { kind: "preview", id: 1, part, examples: 5 }
            : { kind: "policy", part },
        ),
    );
  });
}

const assembler = new PolicyAssembler();

function takeIn(bytes: Buffer): unknown {
  const message = session.responseDeserialize(bytes);
  if (message.kind === "preview") return assemblePart(message.part);
  return message.kind === "policy" ? assembler.push(message.part) : message;
}

/** Bits, bytes, lengths, cuts, repetitions, and pieces of other messages. */
function mutate(random: Random, bytes: Uint8Array, other: Uint8Array): Buffer {
  let out = Buffer.from(bytes);
  for (let i = random.between(1, 3); i > 0; i--) {
    const at = random.below(out.length + 1);
    const end = Math.min(out.length, at + random.below(16));
    switch (random.below(7)) {
      case 0:
        if (at < out.length) out[at] = (out[at] as number) ^ (1 << random.below(8));
        break;
      case 1:
        if (at < out.length) out[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)]);
        break;
      case 2:
        out = out.subarray(0, at);
        break;
      case 3:
        out = Buffer.concat([out.subarray(0, at), out.subarray(end)]);
        break;
      case 4:
        out = Buffer.concat([out.subarray(0, end), out.subarray(at)]);
        break;
      case 5:
        out = Buffer.concat([
          out.subarray(0, at),
          Buffer.alloc(random.between(1, 11), 0xff),
          out.subarray(at),
        ]);
        break;
      default: {
        const from = random.below(other.length + 1);
        out = Buffer.concat([
          out.subarray(0, at),
          other.subarray(from, from + random.below(64)),
          out.subarray(at),
        ]);
      }
    }
  }
  return Buffer.from(out);
}

describe("whatever comes is read, or refused with a reason", () => {
  for (const [name, decode, messages] of doors) {
    test(`${name}: mutations of real messages`, () => {
      const random = new Random(seed);
      let [read, refused] = [0, 0];
      for (let i = 0; i < mutations / doors.length; i++) {
        if (attempt(decode, mutate(random, random.pick(messages), random.pick(messages)))) read++;
        else refused++;
      }
      console.log(`${name}: ${read} read, ${refused} refused`);
      assert.ok(refused > 0);
    });
  }

  test("random bytes", () => {
    const random = new Random(seed);
    for (let i = 0; i < mutations / 10; i++) {
      const bytes = Buffer.from(Array.from({ length: random.below(200) }, () => random.below(256)));
      for (const [, decode] of doors) attempt(decode, bytes);
    }
  });
});

function attempt(decode: Decoder, bytes: Buffer): boolean {
  const began = performance.now();
  try {
    decode(bytes);
    return true;
  } catch (reason) {
    if (
      !(reason instanceof AntennaError) ||
      reason.code !== "input-refused" ||
      reason.problems.length === 0
    ) {
      console.error(`input: ${bytes.toString("hex")}`);
      throw reason;
    }
    return false;
  } finally {
    const took = performance.now() - began;
    if (took > 2_000) assert.fail(`${took} ms for ${bytes.toString("hex")}`);
  }
}
