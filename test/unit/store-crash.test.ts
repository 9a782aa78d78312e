import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AddressSet, type Policy, policyDigest, policyDocumentWithoutSets } from "@antenna/sdk";
import { readPolicyValue } from "@antenna/sdk/internal/policy/parse.js";
import {
  type MemberChanges,
  PolicyStore,
  type StoredState,
} from "@antenna/sdk/internal/reconcile/policy-store.js";
import { randomPolicy, randomSet } from "./arbitrary-policy.js";
import { CrashingFiles } from "./crashing-files.js";
import { Random, runSeed } from "./random.js";

const seed = runSeed("store-crash");

interface Save {
  readonly state: StoredState;
  readonly members: MemberChanges | null;
}

/** States one after the other: whole policies, members that come and go, flags. */
function* history(random: Random, length: number): Generator<Save> {
  let state: StoredState = { policy: null, digest: null, floor: null, suspended: false, unsettled: false };
  for (let sequence = 1; sequence <= length; sequence++) {
    const version = { epoch: 1, sequence };
    const step = random.below(10);
    if (state.policy !== null && step < 5) {
      const members = new Map<string, { added: AddressSet; removed: AddressSet }>();
      const sets = new Map(state.policy.sets);
      for (const [name, set] of state.policy.sets) {
        if (!random.chance(0.5)) continue;
        const removed = random.chance(0.5) ? set.diff(AddressSet.empty).removed : AddressSet.empty;
        const next = set.with(randomSet(random, 3), removed);
        members.set(name, set.diff(next));
        sets.set(name, next);
      }
      state = withPolicy(state, { ...state.policy, version, sets });
      yield { state, members };
    } else if (step < 7) {
      state = random.chance(0.5)
        ? { ...state, suspended: !state.suspended }
        : { ...state, unsettled: !state.unsettled };
      yield { state, members: null };
    } else {
      state = withPolicy(state, { ...normalPolicy(random), version });
      yield { state, members: null };
    }
  }
}

function normalPolicy(random: Random): Policy {
  const policy = randomPolicy(random);
  return readPolicyValue(policyDocumentWithoutSets(policy), policy.sets, "a random policy");
}

function withPolicy(state: StoredState, policy: Policy): StoredState {
  const digest = policyDigest(policy);
  const { version } = policy;
  return { ...state, policy, digest, floor: version === null ? null : { version, digest } };
}

/** What must come back, in a form that compares. */
function shown({ policy, digest, floor, suspended, unsettled }: StoredState): string {
  const own = policy === null ? null : policyDigest({ ...policy });
  return JSON.stringify([own, digest, policy?.version ?? null, floor, suspended, unsettled]);
}

describe("a policy store on a disk that may die at any operation", () => {
  test("comes back with what was promised, or with something newer, and never reports damage", async () => {
    const random = new Random(seed);
    for (let round = 0; round < 400; round++) {
      const files = new CrashingFiles(random);
      const { store } = await PolicyStore.open(files);
      files.operationsLeft = random.below(60);
      const states = [store.state];
      let promised = 0;
      for (const { state, members } of history(random, 12)) {
        states.push(state);
        const index = states.length - 1;
        // What is only noted is promised by the next save that ends.
        const isNoted = members === null && random.chance(0.3);
        const saved = (isNoted ? store.note(state) : store.save(state, members)).then(
          () => {
            if (!isNoted) promised = Math.max(promised, index);
          },
          () => {},
        );
        // Some saves come in bursts.
        if (random.chance(0.7)) await saved;
        if (files.operationsLeft <= 0 && random.chance(0.5)) break;
      }
      await store.close().catch(() => {});
      const found = await PolicyStore.open(files.afterCrash());
      assert.deepEqual(found.damage, [], `round ${round}`);
      const acceptable = states.slice(promised).map(shown);
      assert.ok(
        acceptable.includes(shown(found.state)),
        `round ${round}: ${shown(found.state)} is none of ${acceptable.length}`,
      );
    }
  });

  test("goes on after a crash: what is saved then survives the next one", async () => {
    const random = new Random(seed + 1);
    for (let round = 0; round < 50; round++) {
      let files = new CrashingFiles(random);
      for (let life = 0; life < 4; life++) {
        const { store } = await PolicyStore.open(files);
        for (const { state, members } of history(random, 3)) await store.save(state, members);
        const last = shown(store.state);
        files = files.afterCrash();
        const found = await PolicyStore.open(files);
        assert.equal(shown(found.state), last);
        files.operationsLeft = random.below(8);
        const [next] = history(random, 1);
        if (next !== undefined) await found.store.save(next.state, null).catch(() => {});
        files = files.afterCrash();
      }
    }
  });
});

describe("a policy store on a rotten disk", () => {
  test("reports damage and never takes it for an empty directory", async () => {
    const random = new Random(seed + 2);
    let reported = 0;
    for (let round = 0; round < 400; round++) {
      const files = new CrashingFiles(random);
      const { store } = await PolicyStore.open(files);
      const states = [store.state];
      for (const { state, members } of history(random, 8)) {
        await store.save(state, members);
        states.push(state);
      }
      await store.close();
      const names = await files.list();
      const name = random.pick(names);
      const bytes = Buffer.from(files.content(name));
      const at = random.below(bytes.length);
      bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
      files.overwrite(name, random.chance(0.8) ? bytes : bytes.subarray(0, at));
      const found = await PolicyStore.open(files);
      assert.ok(states.map(shown).includes(shown(found.state)), `round ${round}: an invented state`);
      if (found.damage.length > 0) reported += 1;
      const isEmpty = found.state.policy === null && states.at(-1)?.policy !== null;
      assert.ok(!isEmpty || found.damage.length > 0, `round ${round}: silently empty`);
    }
    assert.ok(reported > 50);
  });

  test("keeps the generation before, in case the newest snapshot is damaged", async () => {
    const random = new Random(seed + 3);
    const files = new CrashingFiles(random);
    const { store } = await PolicyStore.open(files);
    const saves = [1, 2].map((sequence) =>
      withPolicy(store.state, { ...normalPolicy(random), version: { epoch: 1, sequence } }),
    );
    for (const state of saves) await store.save(state);
    const newest =
      (await files.list())
        .filter((name) => name.endsWith(".snapshot"))
        .sort()
        .at(-1) ?? "";
    files.overwrite(newest, files.content(newest).subarray(0, 30));
    const found = await PolicyStore.open(files);
    assert.match(found.damage.join(), /snapshot fails its checksum/);
    assert.equal(shown(found.state), shown(saves[0] as StoredState));
  });

  test("refuses bytes of a hostile hand that pass their checksums, without throwing", async () => {
    const { readImage } = await import("@antenna/sdk/internal/reconcile/policy-image.js");
    const random = new Random(seed + 4);
    const hostile = [
      "",
      "null",
      "[]",
      "{}",
      '{"suspended":true}',
      '{"suspended":false,"floor":null,"policy":{}}',
      '{"suspended":false,"floor":null,"policy":{"version":"1.1","digest":"x","document":{"mode":"full"},"sets":[["a",4294967295,1]]}}',
      '{"suspended":false,"floor":null,"policy":{"version":"1.1","digest":"x","document":{"mode":"full"},"sets":[["a",1,0]]}}',
      '{"suspended":false,"floor":null,"policy":{"version":"1.1","digest":"x","document":{"mode":"full"},"sets":[["a",-1,1e99]]}}',
      '{"__proto__":null,"suspended":false,"floor":{"version":7,"digest":"x"},"policy":null}',
    ];
    for (const json of hostile) {
      for (const declared of [json.length, 0, 0xffffffff]) {
        const length = Buffer.alloc(4);
        length.writeUInt32LE(declared);
        const tail = Buffer.from(Array.from({ length: random.below(16) }, () => random.below(256)));
        assert.equal(readImage(Buffer.concat([length, Buffer.from(json), tail])), null, json);
      }
    }
  });
});

describe("a policy store on a full disk", () => {
  test("keeps the newest state in memory and stores it whole once there is room", async () => {
    const random = new Random(seed + 5);
    const files = new CrashingFiles(random);
    const { store } = await PolicyStore.open(files);
    const saves = [...history(random, 10)];
    files.refuse = (operation) =>
      operation === "write" || operation === "append"
        ? Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC" })
        : null;
    for (const { state, members } of saves) {
      await assert.rejects(store.save(state, members), { code: "storage", detail: /ENOSPC/ });
      assert.equal(store.state, state);
    }
    files.refuse = () => null;
    await store.save(store.state);
    const found = await PolicyStore.open(files.afterCrash());
    assert.deepEqual(found.damage, []);
    assert.equal(shown(found.state), shown(store.state));
  });

  test("starts empty in a directory that cannot be made", async () => {
    const files = new CrashingFiles(new Random(seed));
    files.refuse = () => Object.assign(new Error("EROFS: read-only file system"), { code: "EROFS" });
    const { store, state, damage } = await PolicyStore.open(files);
    assert.deepEqual(damage, []);
    assert.equal(state.policy, null);
    await assert.rejects(store.save({ ...state, suspended: true }), {
      code: "storage",
      message: /read-only/,
    });
  });
});
