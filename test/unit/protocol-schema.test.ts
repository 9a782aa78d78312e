import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { parsePolicy, policyDigest } from "@antenna/sdk";
import { type WireShape, wireShapes } from "@antenna/sdk/internal/protocol/codec/wire-shape.js";
import {
  agentService,
  generatePolicyKey,
  policyParts,
  type SessionRequestMessage,
} from "@antenna/sdk/protocol";
import fc from "fast-check";
import { pairResponse, renewResponse, sessionRequest } from "./protocol-arbitrary.js";
import { runSeed } from "./random.js";

const seed = runSeed("protocol-schema");
const root = join(import.meta.dirname, "..", "..", "..");
const folder = mkdtempSync(join(tmpdir(), "protocol-schema-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function buf(...args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(join(root, "node_modules", ".bin", "buf"), args, {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, BUF_CACHE_DIR: join(folder, "cache") },
  });
  assert.equal(status, 0, `buf ${args.join(" ")}:\n${stdout}${stderr}`);
}

/** What `buf convert`, another implementation of protobuf, makes of a message: to JSON and back. */
function converted(type: string, bytes: Uint8Array): Buffer {
  const [binary, json] = [join(folder, "message.binpb"), join(folder, "message.json")];
  writeFileSync(binary, bytes);
  buf("convert", "--type", `antenna.v1.${type}`, "--from", binary, "--to", json);
  buf("convert", "--type", `antenna.v1.${type}`, "--from", json, "--to", binary);
  return readFileSync(binary);
}

/** As much of google.protobuf.FileDescriptorSet as is asked for here. */
interface Image {
  readonly file: readonly {
    readonly package: string;
    readonly messageType: readonly Descriptor[];
    readonly service?: readonly Service[];
  }[];
}

interface Descriptor {
  readonly name: string;
  readonly nestedType?: readonly {
    readonly options?: { readonly mapEntry?: boolean };
    readonly name: string;
  }[];
  readonly field?: readonly {
    readonly number: number;
    readonly type: string;
    readonly label: string;
    readonly typeName?: string;
  }[];
}

interface Service {
  readonly name: string;
  readonly method: readonly {
    readonly name: string;
    readonly clientStreaming?: boolean;
    readonly serverStreaming?: boolean;
  }[];
}

function image(): Image {
  const path = join(folder, "image.json");
  buf("build", "--exclude-source-info", "-o", path);
  return JSON.parse(readFileSync(path, "utf8")) as Image;
}

describe("antenna.proto", () => {
  test("obeys the rules of the house (buf lint: STANDARD, COMMENTS)", () => buf("lint"));

  test("breaks nobody who speaks the protocol as it was released", () => {
    // Made by: buf build --exclude-source-info -o test/golden/antenna-v1-image.json
    buf("breaking", "--against", "test/golden/antenna-v1-image.json");
  });

  test("is what the generated code was made of", () => {
    const made = spawnSync(
      process.execPath,
      [join(root, "sdk", "generate-protocol.mjs"), join(folder, "generated")],
      {
        cwd: root,
        encoding: "utf8",
      },
    );
    assert.equal(made.status, 0, made.stderr);
    for (const name of ["antenna.js", "antenna.d.ts"]) {
      const current = readFileSync(join(root, "sdk", "src", "protocol", "generated", name), "utf8");
      const anew = readFileSync(join(folder, "generated", name), "utf8");
      assert.ok(anew === current, `${name} is not current: run node sdk/generate-protocol.mjs`);
    }
  });

  test("has the service that agents and controllers speak", () => {
    const services = image().file.flatMap((file) =>
      (file.service ?? []).flatMap(({ name, method }) =>
        method.map((each) => [
          each.name.toLowerCase(),
          `/${file.package}.${name}/${each.name}`,
          each.clientStreaming === true,
          each.serverStreaming === true,
        ]),
      ),
    );
    const ours = Object.entries(agentService).map(([name, method]) => [
      name,
      method.path,
      method.requestStream,
      method.responseStream,
    ]);
    assert.deepEqual(services.sort(), ours.sort());
  });

  test("means the same to another implementation of protobuf", () => {
    const { pair, renew, session } = agentService;
    for (const kind of ["hello", "context", "event"] as const) {
      const message = first(sessionRequest.filter((each) => each.kind === kind));
      const back = session.requestDeserialize(converted("SessionRequest", session.requestSerialize(message)));
      assert.deepEqual<SessionRequestMessage>(structuredClone(back), structuredClone(message));
    }
    const identity = first(pairResponse);
    const back = pair.responseDeserialize(converted("PairResponse", pair.responseSerialize(identity)));
    assert.deepEqual(structuredClone(back), structuredClone(identity));
    const renewed = first(renewResponse.filter((each) => each.kind === "renewed"));
    const again = renew.responseDeserialize(converted("RenewResponse", renew.responseSerialize(renewed)));
    assert.deepEqual(structuredClone(again), structuredClone(renewed));
  });

  test("means the same policy to another implementation of protobuf", () => {
    const policy = parsePolicy(
      '{"mode":"selective","sets":{"web":["10.0.0.1","fd00::/64"]},"rules":[{"id":"r","direction":"in","action":"allow","peers":["web"],"services":[{"protocol":"tcp","ports":[80,"90-99"]},{"protocol":"icmp","type":8,"code":0}],"secure":true}],"enforce":[{"protocol":"tcp","ports":[22]}],"identities":{"10.0.0.1":"db"}}',
    );
    const seal = {
      version: { epoch: 1, sequence: Number.MAX_SAFE_INTEGER },
      digest: policyDigest(policy),
      proof: Uint8Array.from([...generatePolicyKey(null).key.id, ...new Uint8Array(64).fill(1)]),
      probation: true,
    };
    const { session } = agentService;
    for (const part of policyParts(policy, seal)) {
      const bytes = session.responseSerialize({ kind: "policy", part });
      const back = session.responseDeserialize(converted("SessionResponse", bytes));
      assert.deepEqual(structuredClone(back), structuredClone(session.responseDeserialize(bytes)));
    }
  });

  test("has the objects that are counted before a message is decoded", () => {
    const messages = new Map<string, Descriptor>();
    for (const file of image().file)
      for (const message of file.messageType) messages.set(`.${file.package}.${message.name}`, message);
    for (const [name, shape] of Object.entries(wireShapes))
      assert.deepEqual(plain(shape), shapeOf(`.antenna.v1.${name}`, messages), name);
  });
});

function first<Message>(messages: fc.Arbitrary<Message>): Message {
  const [message] = fc.sample(messages, { seed, numRuns: 1 });
  if (message === undefined) throw new Error("no message was made");
  return message;
}

/** Shapes share parts; what they say counts. */
function plain(shape: WireShape): unknown {
  return JSON.parse(JSON.stringify(shape));
}

function shapeOf(name: string, messages: ReadonlyMap<string, Descriptor>): WireShape {
  const message = messages.get(name);
  assert.ok(message, name);
  const shape: Record<number, WireShape | "entry"> = {};
  for (const { number, type, label, typeName = "" } of message.field ?? []) {
    const isPair = (message.nestedType ?? []).some((each) => typeName === `${name}.${each.name}`);
    if (isPair) shape[number] = "entry";
    else if (type === "TYPE_MESSAGE") shape[number] = shapeOf(typeName, messages);
    else if (label === "LABEL_REPEATED") shape[number] = "entry";
  }
  return shape;
}
