import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { AddressSet, type Policy, policyDigest } from "@antenna/sdk";
import { PolicyStore } from "@antenna/sdk/internal/reconcile/policy-store.js";
import { DirectoryFiles } from "@antenna/sdk/internal/reconcile/store-files.js";
import { webPolicy } from "./reconcile-fixture.js";

async function inDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const parent = await mkdtemp(join(tmpdir(), "antenna-store-"));
  try {
    await run(join(parent, "state", "policy"));
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}

function numbered(policy: Policy, sequence: number): Policy {
  return { ...policy, version: { epoch: 1, sequence } };
}

describe("a policy store in a directory", () => {
  test("makes it for its owner alone, and its files too", async () => {
    await inDirectory(async (directory) => {
      const { store } = await PolicyStore.open(new DirectoryFiles(directory));
      await store.save({ ...store.state, suspended: true });
      await store.save({ ...store.state, suspended: false });
      await store.close();
      assert.equal((await stat(directory)).mode & 0o777, 0o700);
      const names = await readdir(directory);
      assert.deepEqual(names.sort(), ["state-1.journal", "state-1.snapshot"]);
      for (const name of names) assert.equal((await stat(join(directory, name))).mode & 0o777, 0o600, name);
    });
  });

  test("keeps 500,000 members of both families byte for byte, and stays bounded under many changes", async () => {
    await inDirectory(async (directory) => {
      const builder = AddressSet.builder();
      for (let index = 0; index < 400_000; index++) builder.add4((0x0a000000 + index * 2) >>> 0);
      for (let index = 0; index < 100_000; index++) builder.add6(0xfd000000, 0, index, 0, 96);
      const members = builder.build();
      let policy = numbered({ ...webPolicy([]), sets: new Map([["web", members]]) }, 1);
      const { store } = await PolicyStore.open(new DirectoryFiles(directory));
      const floor = { version: { epoch: 1, sequence: 1 }, digest: policyDigest(policy) };
      await store.save({ policy, digest: policyDigest(policy), floor, suspended: false, unsettled: false });

      const small = numbered(webPolicy(["10.0.0.1"]), 2);
      await store.save({ ...store.state, policy: small, digest: policyDigest(small) });
      policy = numbered({ ...policy, rules: small.rules }, 3);
      await store.save({ ...store.state, policy, digest: policyDigest(policy) });
      const found = await PolicyStore.open(new DirectoryFiles(directory));
      assert.deepEqual(found.damage, []);
      assert.equal(policyDigest(found.state.policy ?? small), policyDigest(policy));
      assert.equal(found.state.policy?.sets.get("web")?.equals(members), true);
      let bytes = 0;
      for (const name of await readdir(directory)) bytes += (await stat(join(directory, name))).size;
      assert.ok(bytes < 2 * 4_000_000, `${bytes} bytes for two generations`);
    });
  });

  test("turns a journal that outgrows its snapshot into a snapshot", async () => {
    await inDirectory(async (directory) => {
      const { store } = await PolicyStore.open(new DirectoryFiles(directory));
      let policy = numbered(webPolicy(["10.0.0.1"]), 1);
      await store.save({ ...store.state, policy, digest: policyDigest(policy) });
      const saves: Promise<void>[] = [];
      for (let sequence = 2; sequence < 2_000; sequence++) {
        const added = AddressSet.from([`10.${sequence >> 8}.${sequence & 255}.1`]);
        const set = (policy.sets.get("web") ?? AddressSet.empty).with(added, AddressSet.empty);
        const before = policy;
        policy = numbered({ ...policy, sets: new Map([["web", set]]) }, sequence);
        policyDigest(policy, before);
        const members = new Map([["web", { added, removed: AddressSet.empty }]]);
        saves.push(store.save({ ...store.state, policy, digest: policyDigest(policy) }, members));
        if (sequence % 100 === 0) await Promise.all(saves.splice(0));
      }
      await Promise.all(saves);
      await store.close();
      const names = await readdir(directory);
      assert.ok(names.length <= 4, names.join());
      for (const name of names) assert.ok((await stat(join(directory, name))).size < 600_000, name);
      const found = await PolicyStore.open(new DirectoryFiles(directory));
      assert.deepEqual(found.damage, []);
      assert.equal(policyDigest(found.state.policy ?? webPolicy([])), policyDigest(policy));
    });
  });

  test("removes its own files and nothing else", async () => {
    await inDirectory(async (directory) => {
      const { store } = await PolicyStore.open(new DirectoryFiles(directory));
      await store.save({ ...store.state, suspended: true });
      await writeFile(join(directory, "notes.txt"), "the owner's");
      await store.remove();
      assert.deepEqual(await readdir(directory), ["notes.txt"]);
      await assert.rejects(store.save(store.state), { code: "closed" });
    });
  });
});
