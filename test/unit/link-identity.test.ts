import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import {
  appendFile,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  unlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { grpcLink, pair, unpair } from "@antenna/sdk";
import { IdentityStore } from "@antenna/sdk/internal/protocol/identity/identity-store.js";
import { pairHost, TestAuthority, testWorkload } from "./link-authority.js";

const authority = new TestAuthority();

async function pairedDirectory(): Promise<
  AsyncDisposable & { readonly path: string; readonly file: (name: string) => string }
> {
  const path = await mkdtemp(join(tmpdir(), "antenna-identity-"));
  await pairHost(path, authority);
  return {
    path,
    file: (name) => join(path, "identity", name),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}

describe("a stored identity", () => {
  test("is read as it was written", async () => {
    await using dir = await pairedDirectory();
    const { identity, damage } = IdentityStore.open(dir.path);
    assert.equal(damage, null);
    assert.equal(identity?.workload, testWorkload);
    assert.deepEqual(
      identity?.roots.map((root) => Buffer.from(root)),
      [authority.root.raw],
    );
    assert.equal((await stat(dir.file("key.pem"))).mode & 0o777, 0o600);
  });

  test("there is none in an empty directory, and looking makes nothing", async () => {
    const path = await mkdtemp(join(tmpdir(), "antenna-identity-"));
    const { identity, damage } = IdentityStore.open(path);
    assert.deepEqual([identity, damage], [null, null]);
    assert.deepEqual(await readdir(path), []);
    assert.equal(await unpair({ stateDir: path }), null);
    await rm(path, { recursive: true });
  });

  const damages: readonly [string, (file: (name: string) => string) => Promise<void>, RegExp][] = [
    ["cut short", (file) => truncate(file("identity"), 100), /checksum/],
    ["empty", (file) => truncate(file("identity"), 0), /0 bytes/],
    ["with a byte more", (file) => appendFile(file("identity"), " "), /checksum/],
    ["of something else", (file) => writeFile(file("identity"), "hello"), /checksum/],
    ["without its key", (file) => unlink(file("key.pem")), /key\.pem is gone/],
    ["with a damaged key", (file) => truncate(file("key.pem"), 60), /cannot be read/],
    [
      "with another key",
      async (file) => {
        await using other = await pairedDirectory();
        await writeFile(file("key.pem"), await readFile(other.file("key.pem")));
      },
      /not the key of the certificate/,
    ],
    ["far too large", (file) => truncate(file("identity"), 2 * 1024 * 1024), /bytes/],
  ];
  for (const [name, harm, words] of damages) {
    test(`${name}: damage is told, and not taken for a host that is not paired`, async () => {
      await using dir = await pairedDirectory();
      await harm(dir.file);
      const { identity, damage } = IdentityStore.open(dir.path);
      assert.equal(identity, null);
      assert.match(damage ?? "", words);
      const key = `id.${"A".repeat(43)}.${"0".repeat(64)}`;
      await assert.rejects(pair({ controller: "127.0.0.1:1", key, stateDir: dir.path }), {
        code: "corrupt",
        message: /antenna unpair/,
      });
      await unpair({ stateDir: dir.path });
      assert.equal(IdentityStore.open(dir.path).damage, null);
    });
  }

  test("a damaged key without an identity is told too, and unpair makes room for another", async () => {
    await using dir = await pairedDirectory();
    await unpair({ stateDir: dir.path });
    await truncate(dir.file("key.pem"), 60);
    const key = `id.${"A".repeat(43)}.${"0".repeat(64)}`;
    const options = { controller: "127.0.0.1:1", key, stateDir: dir.path };
    await assert.rejects(pair(options), { code: "corrupt" });
    await unpair({ stateDir: dir.path });
    await assert.rejects(pair(options), { code: "unreachable" });
  });

  test("a lost or damaged request is made again, of the same key", async () => {
    await using dir = await pairedDirectory();
    const before = IdentityStore.open(dir.path);
    const publicKey = createPublicKey(before.privateKey()).export({ type: "spki", format: "der" });
    await unlink(dir.file("request.der"));
    const request = await IdentityStore.open(dir.path).certificateRequest();
    assert.ok(Buffer.from(request).includes(publicKey));
    assert.deepEqual(await IdentityStore.open(dir.path).certificateRequest(), request);
  });

  test("damaged traces cost the token, not the identity", async () => {
    await using dir = await pairedDirectory();
    await writeFile(dir.file("session"), "garbage");
    const store = IdentityStore.open(dir.path);
    assert.equal(store.identity?.workload, testWorkload);
    assert.equal(store.traces.token.length, 0);
  });

  test("an update after another process has unpaired the host does not bring it back", async () => {
    await using dir = await pairedDirectory();
    const daemon = IdentityStore.open(dir.path);
    assert.ok(daemon.identity !== null);
    await unpair({ stateDir: dir.path });
    await daemon.updateIdentity(daemon.identity);
    assert.equal(IdentityStore.open(dir.path).identity, null);
    assert.equal(daemon.identity, null);
  });

  test("two writers leave one of the two identities, whole", async () => {
    await using dir = await pairedDirectory();
    const store = IdentityStore.open(dir.path);
    const { identity } = store;
    assert.ok(identity !== null);
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        store.saveIdentity({ ...identity, controller: `c-${index}:1` }),
      ),
    );
    assert.equal(IdentityStore.open(dir.path).identity?.controller, "c-19:1");
    assert.deepEqual((await readdir(join(dir.path, "identity"))).sort(), [
      "identity",
      "key.pem",
      "request.der",
    ]);
  });

  test("vouching works offline, before anything is opened", async () => {
    await using dir = await pairedDirectory();
    const link = grpcLink({ controller: "controller.test:8443", stateDir: dir.path });
    assert.equal(link.workload, testWorkload);
    const { signPolicy } = await import("@antenna/sdk/protocol");
    const claim = {
      workload: testWorkload,
      version: { epoch: 1, sequence: 7 },
      digest: `sha256:${"0".repeat(64)}`,
    };
    const proof = signPolicy(claim, authority.policyKey);
    assert.equal(link.vouches(claim.version, claim.digest, proof), true);
    assert.equal(
      link.vouches(
        claim.version,
        claim.digest,
        proof.map((byte, at) => (at === 40 ? byte ^ 1 : byte)),
      ),
      false,
    );
    assert.deepEqual(link.status(), {
      state: "none",
      controller: "controller.test:8443",
      lastSync: null,
      problems: [],
    });
    await assert.rejects(link.probe(), { code: "unreachable" });
    await link[Symbol.asyncDispose]();
  });
});
