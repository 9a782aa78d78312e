import assert from "node:assert/strict";
import { createPublicKey, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { formatContext } from "@antenna/daemon/internal/commands/context.js";
import type { ForeignRule } from "@antenna/daemon/internal/documents.js";
import { ControllerWay, splitController } from "@antenna/daemon/internal/run/controller-way.js";
import { gatherContext } from "@antenna/daemon/internal/run/gather-context.js";
import { Pairing, type PairingOptions } from "@antenna/daemon/internal/run/pairing.js";
import { readKeyFile, readKeyStream } from "@antenna/daemon/internal/run/pairing-key.js";
import { Problems } from "@antenna/daemon/internal/run/problems.js";
import { type ContextFacts, type ContextSource, grpcLink, PairingKey } from "@antenna/sdk";
import type { PairRequestMessage, PairResponseMessage } from "@antenna/sdk/protocol";
import { MemoryLogger } from "@antenna/sdk/testing";
import { status } from "@grpc/grpc-js";
import { TestAuthority, testWorkload } from "./link-authority.js";
import { FakeController, Refusal } from "./link-controller.js";
import { FakeLink } from "./reconcile-fake-link.js";
import { until } from "./reconcile-fixture.js";

// A ref'd timer: what a daemon waits for keeps no process alive.
const awake = setInterval(() => {}, 1_000);
test.after(() => clearInterval(awake));

async function scratch(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "antenna-unit-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

describe("a host that is not paired", () => {
  const secret = randomBytes(32);
  const authority = new TestAuthority();
  const key = new PairingKey({ id: "key-1", secret, fingerprint: authority.fingerprint }).format();

  function issue({ certificateRequest }: PairRequestMessage): PairResponseMessage {
    // The SPKI of a P-256 key is 91 bytes that begin in a known way (RFC 5480).
    const start = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");
    const request = Buffer.from(certificateRequest);
    const at = request.indexOf(start);
    const own = createPublicKey({ key: request.subarray(at, at + 91), format: "der", type: "spki" });
    return { workload: testWorkload, certificateChain: [authority.agent(own).raw], ...authority.trust };
  }

  function pairing(options: Pick<PairingOptions, "controller" | "stateDir"> & Partial<PairingOptions>) {
    const link = new FakeLink();
    link.workload = null;
    const passing: string[] = [];
    const [problems, logger] = [new Problems(), new MemoryLogger()];
    const running = new Pairing({
      key,
      link,
      problems,
      logger,
      letThrough: (addresses, port) => {
        passing.push(`${[...addresses.strings()].join(",")}:${port}`);
        return Promise.resolve();
      },
      ...options,
    });
    const words = (): string =>
      problems.with([], { ofFile: false }).map(({ code, message }) => `${code}: ${message}`)[0] ?? "";
    return { running, link, passing, words, logger };
  }

  test("has its controller let through, and pairs as soon as that answers", async () => {
    await using directory = await scratch();
    const refused = await FakeController.start({ authority });
    const { port } = refused;
    await refused[Symbol.asyncDispose]();
    const controller = `127.0.0.1:${port}`;
    const pair = pairing({ controller, stateDir: directory.path });
    await using _ = pair.running;
    await until(() => pair.words().startsWith("not-paired: "), "told");
    assert.match(pair.words(), /ECONNREFUSED.*; tried again in \d+ s$/);
    assert.deepEqual(pair.passing, [`127.0.0.1:${port}`]);
    await using _controller = await FakeController.start({ authority, port, onPair: issue });
    await until(() => pair.words() === "", "paired");
    assert.equal(grpcLink({ controller, stateDir: directory.path }).workload, testWorkload);
    assert.ok(!JSON.stringify(pair.logger.entries).includes(secret.toString("base64url")));
  });

  test("whose key is refused says so, without the key", async () => {
    await using directory = await scratch();
    await using controller = await FakeController.start({
      authority,
      onPair: () => {
        throw new Refusal(status.FAILED_PRECONDITION, "the key has expired");
      },
    });
    const pair = pairing({ controller: controller.address, stateDir: directory.path });
    await using _ = pair.running;
    await until(() => pair.words() !== "", "told");
    assert.match(
      pair.words(),
      /does not accept pairing key key-1.*the key has expired.*tried again in [3-6]\d s/,
    );
    const everything = pair.words() + JSON.stringify(pair.logger.entries);
    assert.ok(!everything.includes(secret.toString("base64url")));
  });

  test("without a key waits for somebody else to pair it, and then rests", async () => {
    await using directory = await scratch();
    const pair = pairing({ controller: "127.0.0.1:9", stateDir: directory.path, key: null });
    await until(() => pair.passing.length === 1, "let through");
    assert.equal(pair.words(), "");
    pair.link.workload = testWorkload;
    pair.link.tellStatus();
    await pair.running[Symbol.asyncDispose]();
    assert.equal(pair.passing.length, 1);
  });
});

describe("a pairing key", () => {
  const { signal } = new AbortController();

  test("comes from a file or a stream, up to the end of its line", async () => {
    await using directory = await scratch();
    const path = join(directory.path, "key");
    await writeFile(path, "id.secret.print\n");
    assert.equal(await readKeyFile(path), "id.secret.print\n");
    assert.equal(
      (await readKeyStream(Readable.from([Buffer.from("id.se"), Buffer.from("cret\n")]), signal)).trim(),
      "id.secret",
    );
    // A terminal goes on; nobody waits for its end.
    const endless = async function* () {
      yield Buffer.from("id.secret\n");
      await new Promise(() => {});
    };
    assert.equal((await readKeyStream(endless(), signal)).trim(), "id.secret");
  });

  test("that is larger than any key, or not there, is refused", async () => {
    await using directory = await scratch();
    const path = join(directory.path, "key");
    await writeFile(path, "x".repeat(5_000));
    await assert.rejects(readKeyFile(path), { code: "input-refused" });
    await assert.rejects(readKeyStream(Readable.from([Buffer.alloc(5_000, "x")]), signal), {
      code: "input-refused",
    });
    await assert.rejects(readKeyFile(join(directory.path, "none")), { code: "storage" });
  });
});

describe("the way to the controller", () => {
  const drop: ForeignRule = {
    table: "filter",
    chain: "OUTPUT",
    rule: "-A OUTPUT -p tcp --dport 8443 -j DROP",
    verdict: "dropped",
    reason: null,
  };

  test("is closed by the rule that is named, with what to do", async () => {
    const asked: string[] = [];
    const way = new ControllerWay({
      controller: "192.0.2.1:8443",
      resolvers: () => [],
      foreign: ({ protocol, peer, port }) => {
        asked.push(`${protocol} ${peer.join(".")} ${port}`);
        return Promise.resolve([{ ...drop, verdict: "unknown", reason: "-m bpf" }, drop]);
      },
    });
    assert.equal(
      await way.inTheWay(),
      "the owner's rule `-A OUTPUT -p tcp --dport 8443 -j DROP` (table filter) closes the way to 192.0.2.1:8443; Antenna never overrides it: let TCP port 8443 of 192.0.2.1 pass before it",
    );
    // Whoever watches the status asks often.
    await way.inTheWay();
    assert.deepEqual(asked, ["6 192.0.2.1 8443"]);
  });

  test("may be closed by a rule that can't be judged; one that can't be read closes nothing", async () => {
    const way = (foreign: () => Promise<readonly ForeignRule[]>): Promise<string | null> =>
      new ControllerWay({ controller: "[2001:db8::1]:1", resolvers: () => [], foreign }).inTheWay();
    const doubt = await way(() => Promise.resolve([{ ...drop, verdict: "unknown", reason: "-m bpf" }]));
    assert.match(doubt ?? "", /may close the way to \[2001:db8::1\]:1 \(-m bpf\)$/);
    assert.equal(await way(() => Promise.resolve([])), null);
    assert.equal(await way(() => Promise.reject(new Error("not permitted"))), null);
  });

  test("by name is closed where nobody may be asked for the name", async () => {
    const way = new ControllerWay({
      controller: "controller.invalid:8443",
      resolvers: () => ["192.0.2.53"],
      foreign: ({ protocol, port }) => Promise.resolve(protocol === 17 && port === 53 ? [drop] : []),
    });
    assert.match(
      (await way.inTheWay()) ?? "",
      /closes the way to the resolver that knows controller\.invalid; .*UDP port 53 of 192\.0\.2\.53/,
    );
  });

  test("has a host and a port", () => {
    assert.deepEqual(splitController("[2001:db8::1]:8443"), { host: "2001:db8::1", port: 8443 });
    assert.deepEqual(splitController("controller.example:1"), { host: "controller.example", port: 1 });
  });
});

describe("the context", () => {
  const facts: ContextFacts = {
    hostname: "db-1\u001b[2J",
    os: { name: "debian", version: "12", kernel: "6.1.0-18", arch: "x64" },
    virtualization: "kvm",
    addresses: [{ address: "10.0.0.2", prefix: 24, interface: "eth0", scope: "routable" }],
    services: [{ protocol: "tcp", address: "0.0.0.0", port: 5432, process: "postgres", user: null }],
  };

  function source(parts: readonly ContextFacts[]): ContextSource & { closed: boolean } {
    return {
      name: "test",
      closed: false,
      start: (onFacts) => parts.forEach(onFacts),
      [Symbol.asyncDispose]() {
        this.closed = true;
        return Promise.resolve();
      },
    };
  }

  test("is gathered once, and what was opened for it is closed", async () => {
    const cloud = { provider: "aws", instance: "i-1", region: "r", zone: "r-a", tags: { a: "b" } } as const;
    const given = source([facts, { cloud }]);
    const context = await gatherContext(given, { namespace: null, logger: new MemoryLogger() });
    assert.deepEqual(context, { ...facts, cloud });
    assert.ok(given.closed);
  });

  test("is shown for people, without what would move their cursor", async () => {
    const context = await gatherContext(source([facts, { cloud: null }]), {
      namespace: null,
      logger: new MemoryLogger(),
    });
    assert.ok(context !== null);
    const text = formatContext({ workload: "w-1", ...context, containers: [] });
    assert.ok(!text.includes("\u001b[2J"));
    assert.match(text, /^system +debian 12, kernel 6\.1\.0-18, x64$/m);
    assert.match(text, /^tcp 5432 +0\.0\.0\.0 +postgres +-$/m);
    assert.match(text, /^10\.0\.0\.2\/24 +eth0 +routable$/m);
  });
});
