import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Policy, parsePolicy, policyDigest } from "@antenna/sdk";
import {
  encodeSessionResponse,
  generatePolicyKey,
  type PolicyKey,
  type PolicyPart,
  type PolicySeal,
  type PolicySigningKey,
  policyParts,
  type SessionResponseMessage,
  signPolicy,
} from "@antenna/sdk/protocol";
import { DaemonProcess, runAntenna, scratch } from "../host/daemon-process.js";
import { createNamespace, inside, link, type Namespace } from "../lab/namespace.js";
import { pairHost, TestAuthority, testWorkload } from "../unit/link-authority.js";
import { Random, runSeed } from "../unit/random.js";
import type { Heard, Order, ServerKey } from "./hostile-controller-program.js";

const random = new Random(runSeed("hostile-controller"));
const program = fileURLToPath(new URL("./hostile-controller-program.js", import.meta.url));
const endpoint = "10.67.0.1:8443";

/** Who has the controller's TLS key, and not the key that signs policies. */
class HostileController implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly heard: Heard[] = [];
  #ended: string | null = null;
  #nonce = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new Error("no pipe");
    child.once("exit", (code, signal) => {
      this.#ended = `it ended with ${code ?? signal}`;
    });
    createInterface({ input: child.stdout }).on("line", (line) => this.heard.push(JSON.parse(line) as Heard));
  }

  static async start(namespace: Namespace, server: ServerKey): Promise<HostileController> {
    const [file, argv] = inside(namespace.path, process.execPath, [
      ...["--conditions=in-repo", "--enable-source-maps", program, ...endpoint.split(":")],
    ]);
    const controller = new HostileController(spawn(file, argv, { stdio: ["pipe", "pipe", "inherit"] }));
    controller.#child.stdin?.write(`${JSON.stringify(server)}\n`);
    await controller.until("its port", ({ kind }) => kind === "ready");
    return controller;
  }

  order(order: Order): void {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  say(message: SessionResponseMessage, times = 1): void {
    this.sayBytes(encodeSessionResponse(message), times);
  }

  sayBytes(bytes: Uint8Array, times = 1): void {
    this.order({ say: Buffer.from(bytes).toString("base64"), times });
  }

  /** Stops answering and reading, while its connections stay. */
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  async until(what: string, holds: (heard: Heard) => boolean, from = 0, timeoutMs = 60_000): Promise<Heard> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = this.heard.slice(from).find(holds);
      if (found !== undefined) return found;
      if (this.#ended !== null || performance.now() > deadline)
        assert.fail(
          `${what} was not heard${this.#ended === null ? "" : ` (${this.#ended})`}; heard: ${JSON.stringify(this.heard.slice(-20))}`,
        );
      await sleep(20);
    }
  }

  /** Resolves when the agent has read all that was said before, or has ended the session; true: it stands. */
  async isRead(from: number): Promise<boolean> {
    const nonce = Buffer.alloc(8);
    nonce.writeUInt32BE(++this.#nonce);
    this.say({ kind: "ping", nonce });
    const heard = await this.until(
      "an answer",
      (heard) => heard.kind === "over" || (heard.kind === "pong" && heard.nonce === nonce.toString("hex")),
      from,
    );
    return heard.kind === "pong";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}

function policyOf(sequence: number, members: readonly string[], mode = "full"): Policy {
  const document = {
    version: sequence,
    mode,
    sets: { web: members },
    rules: [
      { id: "web-in", direction: "in", action: "allow", peers: ["web"], services: [{ protocol: "tcp" }] },
    ],
  };
  return parsePolicy(Buffer.from(JSON.stringify(document)));
}

function sealOf(policy: Policy, key: PolicySigningKey, workload = testWorkload): PolicySeal {
  const version = policy.version ?? { epoch: 1, sequence: 1 };
  const digest = policyDigest(policy);
  return { version, digest, proof: signPolicy({ workload, version, digest }, key), probation: false };
}

function messagesOf(policy: Policy, seal: PolicySeal, bytes?: number): readonly SessionResponseMessage[] {
  return [...policyParts(policy, seal, bytes)].map((part: PolicyPart) => ({ kind: "policy", part }));
}

/** The rules and sets of a namespace, without counters and without what differs from one listing to the next. */
async function kernelOf(namespace: Namespace): Promise<string> {
  const rules = await namespace.exec("/usr/sbin/iptables-nft-save", ["-t", "filter"]);
  const sets = await namespace.exec("/usr/sbin/ipset", ["save"]);
  const lines = [...rules.split("\n"), ...sets.split("\n").sort()];
  return lines
    .filter((line) => !line.startsWith("#"))
    .map((line) => line.replace(/ ?\[\d+:\d+\]/, "").replace(/ initval 0x[0-9a-f]+/, ""))
    .join("\n");
}

function swapped<T>([first, ...others]: readonly T[]): readonly T[] {
  const last = others.pop();
  return [first, ...others.reverse(), last].filter((part) => part !== undefined);
}

interface VerifyDocument {
  readonly ok: boolean;
  readonly policyVersion: string | null;
}

test("a controller with a stolen TLS key changes nothing of the policy in force, whatever it says", async () => {
  await using directory = await scratch();
  await using host = await createNamespace();
  await using other = await createNamespace();
  await link(
    { namespace: host, interface: "eth0", addresses: ["10.67.0.2/24"] },
    { namespace: other, interface: "eth0", addresses: ["10.67.0.1/24"] },
  );
  const authority = new TestAuthority();
  const stateDir = join(directory.path, "state");
  await pairHost(stateDir, authority, { controller: endpoint });
  await using controller = await HostileController.start(other, authority.server());
  const args = ["--controller", endpoint, "--state-dir", stateDir, "--settle", "0s"];
  await using daemon = new DaemonProcess({ namespace: host, args });

  let isWelcomed = false;
  /** The agent connects anew when it was lied to; a session that stands goes on. */
  const enter = async (): Promise<void> => {
    if (isWelcomed) return;
    const from = controller.heard.findLastIndex(({ kind }) => kind === "over") + 1;
    await controller.until("hello", ({ kind }) => kind === "hello", from, 90_000);
    controller.say({
      ...{ kind: "welcome", revision: 1, workload: testWorkload, token: Buffer.from("token") },
      ...{ time: new Date(), trust: authority.trust, heartbeatMs: 1_000 },
    });
    isWelcomed = true;
  };
  const inForce = async (): Promise<VerifyDocument> => {
    const { stdout } = await runAntenna(host, ["verify", "--json", "--state-dir", stateDir]);
    return JSON.parse(stdout) as VerifyDocument;
  };

  await enter();
  const good = policyOf(5, ["10.67.0.0/24"]);
  for (const message of messagesOf(good, sealOf(good, authority.policyKey))) controller.say(message);
  await controller.until("1.5 in force", (heard) => heard.kind === "status" && heard.applied === "1.5");
  const before = await kernelOf(host);
  assert.ok(before.includes("10.67.0.0/24"), before);
  const stands = async (what: string): Promise<void> => {
    assert.equal(await kernelOf(host), before, what);
    const { ok, policyVersion } = await inForce();
    assert.deepEqual({ ok, policyVersion }, { ok: true, policyVersion: "1.5" }, what);
  };
  await stands("the control");

  const thief = generatePolicyKey(null);
  const { policyKey, trust } = authority;
  const open = (sequence: number): Policy => policyOf(sequence, ["0.0.0.0/0"], "visibility");
  const proofOf = (policy: Policy, key: PolicySigningKey): Uint8Array => sealOf(policy, key).proof;
  const lie = (policy: Policy, wrong: Partial<PolicySeal>): readonly SessionResponseMessage[] =>
    messagesOf(policy, { ...sealOf(policy, policyKey), ...wrong });
  const large = (sequence: number): readonly SessionResponseMessage[] => {
    const members = Array.from(
      { length: 20_000 },
      (_, i) => `10.${i >> 14}.${(i >> 6) & 255}.${(i & 63) * 4}`,
    );
    const policy = policyOf(sequence, members);
    return messagesOf(policy, sealOf(policy, policyKey), 16_384);
  };
  const told = (...keys: readonly PolicyKey[]): SessionResponseMessage => ({
    kind: "trust",
    trust: { ...trust, policyKeys: [...trust.policyKeys, ...keys] },
  });
  const zeros = Buffer.concat([policyKey.key.id, Buffer.alloc(64)]);
  const underPinnedId = (proof: Uint8Array): Uint8Array =>
    Buffer.concat([policyKey.key.id, proof.subarray(16)]);
  const foreign = sealOf(open(16), policyKey, `w-${"b2".repeat(16)}`);
  const mixed = large(20);
  assert.ok(mixed.length >= 4, "the large policy is not in parts");
  /** What it is, under which version it is offered, and what the agent says of it; null: it waits for the end. */
  const lies: readonly (readonly [string, string, RegExp | null, readonly SessionResponseMessage[]])[] = [
    [
      "of a key that nobody pinned",
      "1.10",
      /not trusted/,
      lie(open(10), { proof: proofOf(open(10), thief) }),
    ],
    [
      "of such a key, under the pinned one's id",
      "1.11",
      /signature/,
      lie(open(11), { proof: underPinnedId(proofOf(open(11), thief)) }),
    ],
    ["of zeros", "1.12", /signature/, lie(open(12), { proof: zeros })],
    ["of the policy in force", "1.13", /signature/, lie(open(13), { proof: proofOf(good, policyKey) })],
    [
      "of a lower version",
      "1.14",
      /signature/,
      lie(good, { version: { epoch: 1, sequence: 14 }, proof: proofOf(good, policyKey) }),
    ],
    [
      "of a lower epoch",
      "2.5",
      /signature/,
      lie(good, { version: { epoch: 2, sequence: 5 }, proof: proofOf(good, policyKey) }),
    ],
    ["that was good once", "1.4", /lower than 1\.5/, lie(policyOf(4, ["0.0.0.0/0"]), {})],
    ["of other content under the version in force", "1.5", /1\.5/, lie(policyOf(5, ["0.0.0.0/0"]), {})],
    ["for another workload", "1.16", /signature/, lie(open(16), foreign)],
    [
      "of other members",
      "1.17",
      /./,
      lie(open(17), sealOf(policyOf(17, ["10.1.0.0/16"], "visibility"), policyKey)),
    ],
    ["and its parts in another order", "1.18", /./, swapped(large(18))],
    ["and a part is missing", "1.19", /./, large(19).filter((_, index) => index !== 1)],
    [
      "of a key that the same controller tells",
      "1.21",
      /not trusted/,
      [told(thief.key), ...lie(open(21), { proof: proofOf(open(21), thief) })],
    ],
    [
      "of a key for which the thief's own vouches",
      "1.22",
      /not trusted/,
      [told(thief.key, generatePolicyKey(thief).key), ...lie(open(22), { proof: proofOf(open(22), thief) })],
    ],
    ["and the end is missing", "1.20", null, mixed.slice(0, -1)],
  ];
  for (const [what, version, expected, messages] of lies) {
    await enter();
    const from = controller.heard.length;
    for (const message of messages) controller.say(message);
    if (expected !== null)
      await controller.until(
        `a refusal of a policy with a signature ${what}`,
        (heard) =>
          // Signed, and not what was signed: it asks for the whole of it.
          heard.kind === "snapshot-request" ||
          (heard.kind === "status" &&
            heard.refused?.startsWith(`${version} `) === true &&
            expected.test(heard.refused)),
        from,
        10_000,
      );
    else assert.ok(await controller.isRead(from), what);
    await stands(`with a signature ${what}`);
    if (controller.heard.slice(from).some(({ kind }) => kind === "over")) isWelcomed = false;
  }

  const attacks: readonly (readonly [string, () => void | Promise<void>])[] = [
    [
      "garbage",
      () => {
        const real = encodeSessionResponse({ kind: "ping", nonce: Buffer.alloc(32) });
        for (let round = 0; round < 50; round++) {
          const bytes = Buffer.from(random.chance(0.5) ? real : Buffer.alloc(1 + random.below(300)));
          for (let at = 0; at < bytes.length; at++) if (random.chance(0.7)) bytes[at] = random.below(256);
          controller.sayBytes(bytes);
        }
        // Random bytes may all be fields of a later revision; this is none.
        controller.sayBytes(Buffer.from([0x0a, 0xff]));
      },
    ],
    ["a flood", () => controller.say({ kind: "ping", nonce: Buffer.alloc(8) }, 20_000)],
    ["a half-closed stream", () => controller.order({ halfClose: true })],
    [
      "a stall",
      async () => {
        controller.freeze();
        await sleep(5_000);
        controller.thaw();
      },
    ],
  ];
  for (const [what, attack] of attacks) {
    await enter();
    const from = controller.heard.length;
    await attack();
    await controller.until(`the end after ${what}`, ({ kind }) => kind === "over", from, 30_000);
    isWelcomed = false;
    await stands(what);
  }
  const memory = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${daemon.pid}/status`, "utf8"))?.[1];
  assert.ok(Number(memory) < 160 * 1024, `${memory} kB after all that`);

  // The way was open all along: what the real key signs comes in.
  await enter();
  const last = policyOf(100, ["10.68.0.0/16"]);
  for (const message of messagesOf(last, sealOf(last, authority.policyKey))) controller.say(message);
  await controller.until("1.100 in force", (heard) => heard.kind === "status" && heard.applied === "1.100");
  assert.ok((await kernelOf(host)).includes("10.68.0.0/16"));
  assert.equal((await inForce()).policyVersion, "1.100");
  assert.equal(await daemon.stop(), 0);
});
