import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { AntennaError } from "../error.js";
import type { Packet } from "../evaluate/packet.js";
import { parseAddress } from "../policy/address.js";
import { AddressSet } from "../policy/address-set.js";
import type { Family } from "../policy/model.js";
import { policyFrom } from "../policy/parse.js";
import type { PolicyDocument } from "../policy/policy-document.js";
import type { ChangeNotice, PacketFilter } from "../ports.js";
import { compile } from "../program/compile.js";
import type { RuleProgram } from "../program/program.js";
import type { SetChange } from "../program/set-change.js";
import type { Command, Installed, SetInstance } from "../reconcile/command.js";
import { planRemove, planSafe } from "../reconcile/plan.js";

/** One place to enforce in, of its own for each test: a fake kernel, a network namespace. */
export interface PacketFilterFixture extends AsyncDisposable {
  /** Opens a filter there. A second call, after the first filter was disposed, is a restart. */
  open(): Promise<PacketFilter>;
  /** True when this packet would pass now. Absent: nobody can be asked. */
  passes?(packet: Packet): Promise<boolean>;
  /** What somebody else does there. Absent: the tests of drift are skipped. */
  readonly foreign?: {
    flushRules(family: Family): Promise<void>;
    /** Takes one address out of a set of ours. */
    takeMember(instance: SetInstance, address: string): Promise<void>;
    /** Puts a rule before ours. */
    insertBefore(family: Family): Promise<void>;
  };
  /** How long a change of rules may take to be noticed. Default 250 ms. */
  readonly noticeMs?: number;
}

/**
 * What every PacketFilter must do, as tests of node:test. The Reconciler relies on these and on nothing else.
 *
 * @param create makes a fresh fixture; disposed after each test, also after a failure
 */
export function packetFilterContract(name: string, create: () => Promise<PacketFilterFixture>): void {
  describe(`PacketFilter contract: ${name}`, () => {
    const scenario = (what: string, run: (rig: Rig, context: TestContext) => Promise<void>): void => {
      test(what, async (context) => {
        await using fixture = await create();
        await using filter = await fixture.open();
        await run({ fixture, filter }, context);
      });
    };

    scenario("an untouched place holds nothing of ours, and reading leaves it so", async ({ filter }) => {
      assert.equal(await filter.present(), false);
      assert.deepEqual([...(await filter.instances())], []);
      assert.equal(await filter.adopt(web(["192.0.2.1"])), null);
      await filter.sweep(null);
      assert.equal(await filter.present(), false);
      assert.match(filter.describe().mechanism, /./);
    });

    scenario(
      "a program stands after its plan, provably, and is adopted by another filter",
      async ({ filter, fixture }) => {
        const program = web(["192.0.2.1", "192.0.2.128/25", "2001:db8::1", "2001:db8:1::/64"]);
        const installed = await install(filter, null, program);
        assert.equal(await filter.present(), true);
        assert.deepEqual(new Set(await filter.instances()), names(installed));
        for (const scope of ["rules", "counts", "members"] as const) {
          assert.deepEqual(await filter.verify(installed, scope), [], scope);
        }
        await filter[Symbol.asyncDispose]();
        await using second = await fixture.open();
        const adopted = await second.adopt(program);
        assert.ok(adopted !== null, "not adopted");
        assert.deepEqual(names(adopted), names(installed));
        assert.deepEqual(await second.verify(adopted, "members"), []);
        assert.equal(await second.adopt(web(["192.0.2.1"])), null, "other members");
        assert.equal(await second.adopt(web(["192.0.2.1"], { reject: true })), null, "other rules");
        assert.equal(await second.adopt({ ...program, drops: false, rulesDigest: "0".repeat(64) }), null);
      },
    );

    scenario("members come and go in place", async ({ filter }) => {
      const first = await install(filter, null, web(["192.0.2.1", "2001:db8::1"]));
      const second = await install(filter, first, web(["192.0.2.1", "192.0.2.2", "2001:db8::2"]));
      assert.deepEqual(names(second), names(first), "the plan was expected to stay in place");
      assert.deepEqual(await filter.verify(second, "members"), []);
      assert.notDeepEqual(await filter.verify(first, "members"), []);
    });

    scenario("pairs of address and service come and go in place", async ({ filter }) => {
      const first = await install(filter, null, tiers(1));
      const second = await install(filter, first, tiers(2));
      assert.deepEqual(await filter.verify(second, "members"), []);
      assert.notDeepEqual(await filter.verify(first, "members"), []);
    });

    scenario("ten thousand members stand and change", async ({ filter }) => {
      const many = Array.from({ length: 10_000 }, (_, index) => `198.18.${index >> 8}.${index & 255}`);
      const first = await install(filter, null, web(many));
      assert.deepEqual(await filter.verify(first, "members"), []);
      const second = await install(filter, first, web(many.slice(100)));
      assert.deepEqual(await filter.verify(second, "counts"), []);
    });

    scenario("another program takes over, and nothing of the old one is left", async ({ filter }) => {
      const first = await install(filter, null, web(["192.0.2.1"]));
      const second = await install(filter, first, tiers(3));
      assert.deepEqual(new Set(await filter.instances()), names(second));
      assert.deepEqual(await filter.verify(second, "members"), []);
    });

    scenario(
      "every address and every port end up where they belong",
      async ({ filter, fixture }, context) => {
        const { passes } = fixture;
        if (passes === undefined) return context.skip("this fixture has nobody to ask");
        const ask = (packet: Packet): Promise<boolean> => passes.call(fixture, packet);
        await install(filter, null, web(["192.0.2.1", "2001:db8::1"]));
        assert.equal(await ask(packet("192.0.2.1", 80)), true);
        assert.equal(await ask(packet("192.0.2.2", 80)), false);
        assert.equal(await ask(packet("192.0.2.1", 81)), false);
        assert.equal(await ask(packet("2001:db8::1", 80)), true);
        assert.equal(await ask(packet("2001:db8::2", 80)), false);
      },
    );

    scenario(
      "a refusal says what and in whose words, and leaves what was done before it",
      async ({ filter }) => {
        const installed = await install(filter, null, web(["192.0.2.1"]));
        const [standing] = [...installed.instances.values()];
        assert.ok(standing !== undefined);
        const free: SetInstance = { ...standing, name: `${standing.name.slice(0, 20)}-x` };
        const content = peers(["192.0.2.9"]);
        const refused: readonly Command[] = [
          { kind: "create-set", instance: standing, content },
          { kind: "destroy-set", instance: standing },
          { kind: "add-members", instance: { ...free, name: "ant-none" }, members: content },
        ];
        for (const command of refused) {
          await assert.rejects(filter.execute([command]), isRefusal, command.kind);
        }
        // What is gone already is no reason to stop.
        await filter.execute([{ kind: "destroy-set", instance: { ...free, name: "ant-none" } }]);
        assert.deepEqual(await filter.verify(installed, "members"), []);
        const [first, second] = [
          { ...free, name: "ant-first" },
          { ...free, name: "ant-second" },
        ];
        await assert.rejects(
          filter.execute([
            { kind: "create-set", instance: first, content },
            { kind: "create-set", instance: standing, content },
            { kind: "create-set", instance: second, content },
          ]),
          isRefusal,
        );
        const live = await filter.instances();
        assert.equal(live.has("ant-first"), true);
        assert.equal(live.has("ant-second"), false);
      },
    );

    scenario("a sweep destroys leftovers and nothing else", async ({ filter }) => {
      const installed = await install(filter, null, web(["192.0.2.1"]));
      const [standing] = [...installed.instances.values()];
      assert.ok(standing !== undefined);
      const leftover: SetInstance = { ...standing, name: "ant-leftover" };
      await filter.execute([{ kind: "create-set", instance: leftover, content: peers(["192.0.2.7"]) }]);
      await filter.sweep(installed);
      assert.deepEqual(new Set(await filter.instances()), names(installed));
      assert.deepEqual(await filter.verify(installed, "members"), []);
    });

    scenario("a removal by plan, and one without, leave nothing; both may come twice", async ({ filter }) => {
      const installed = await install(filter, null, web(["192.0.2.1"]));
      await filter.execute(planRemove(installed));
      await filter.sweep(null);
      assert.equal(await filter.present(), false);
      const again = await install(filter, null, tiers(1));
      const removal = await filter.remove();
      for (const name of names(again)) {
        assert.ok(
          removal.removed.some((each) => each.name === name),
          `${name} is not in the receipt`,
        );
      }
      assert.equal(await filter.present(), false);
      assert.deepEqual((await filter.remove()).removed, []);
    });

    scenario("an aborted call rejects with `aborted` and writes nothing", async ({ filter }) => {
      const signal = AbortSignal.abort();
      const plan = planSafe(null, web(["192.0.2.1"]), new Set());
      await assert.rejects(filter.execute(plan.commands, { signal }), { code: "aborted" });
      assert.equal(await filter.present(), false);
    });

    scenario(
      "a program that drops nothing stands beside the same one that drops",
      async ({ filter, fixture }) => {
        const observing = web(["192.0.2.1"], {}, true);
        const dropping = web(["192.0.2.1"]);
        const first = await install(filter, null, observing);
        assert.equal(await filter.adopt(dropping), null);
        if (fixture.passes !== undefined) assert.equal(await fixture.passes(packet("192.0.2.2", 80)), true);
        const second = await install(filter, first, dropping);
        assert.deepEqual(await filter.verify(second, "members"), []);
        if (fixture.passes !== undefined) assert.equal(await fixture.passes(packet("192.0.2.2", 80)), false);
      },
    );

    scenario(
      "what somebody else does to rules is noticed, found, and undone by writing them again",
      async (rig, context) => {
        const { filter, fixture } = rig;
        const { foreign } = fixture;
        if (foreign === undefined) return context.skip("this fixture has no foreign hand");
        const installed = await install(filter, null, web(["192.0.2.1", "2001:db8::1"]));
        const damages: readonly (readonly [string, (family: Family) => Promise<void>])[] = [
          ["rules", (family) => foreign.flushRules(family)],
          ["jump-displaced", (family) => foreign.insertBefore(family)],
        ];
        for (const [kind, damage] of damages) {
          for (const family of [4, 6] as const) {
            const noticed = new Promise<ChangeNotice>((resolve) => filter.watch(installed, resolve));
            await damage(family);
            const notice = await within(
              noticed,
              fixture.noticeMs ?? 250,
              `${kind} in IPv${family} was not noticed`,
            );
            assert.match(notice.reason, /./);
            const differences = await filter.verify(installed, "rules");
            assert.notDeepEqual(differences, [], `${kind} in IPv${family} was not found`);
            assert.ok(differences.every((found) => found.family === null || found.family === family));
            await filter.execute([{ kind: "switch-rules", family, installed }]);
            assert.deepEqual(
              await filter.verify(installed, "rules"),
              [],
              `${kind} in IPv${family} was not undone`,
            );
          }
        }
        filter.watch(null, () => {});
      },
    );

    scenario(
      "a member that somebody took is found, and the set is named",
      async ({ filter, fixture }, context) => {
        const { foreign } = fixture;
        if (foreign === undefined) return context.skip("this fixture has no foreign hand");
        const installed = await install(filter, null, web(["192.0.2.1", "192.0.2.2"]));
        const [instance] = [...installed.instances.values()];
        assert.ok(instance !== undefined);
        await foreign.takeMember(instance, "192.0.2.2");
        const [difference] = await filter.verify(installed, "members");
        assert.equal(difference?.kind, "set-members");
        assert.equal(difference?.object, instance.name);

        const content = peers(["192.0.2.1", "192.0.2.2"]);
        const correction = await filter.correction(instance, content);
        assert.deepEqual(textsOf(correction), [["192.0.2.2"], []]);
        assert.ok(correction !== null);
        await filter.execute([{ kind: "add-members", instance, members: correction.added }]);
        assert.deepEqual(await filter.verify(installed, "members"), []);
        assert.deepEqual(textsOf(await filter.correction(instance, content)), [[], []]);
      },
    );

    scenario("what a set lacks and has too much is told, and puts it right", async ({ filter }) => {
      const installed = await install(filter, null, web(["192.0.2.1", "192.0.2.128/25", "2001:db8::1"]));
      const [instance] = [...installed.instances.values()];
      assert.ok(instance !== undefined);
      const wanted = ["192.0.2.1", "192.0.2.9", "198.51.100.0/24", "2001:db8::2"];
      const correction = await filter.correction(instance, peers(wanted));
      assert.deepEqual(textsOf(correction), [
        ["192.0.2.9", "198.51.100.0/24", "2001:db8::2"],
        ["192.0.2.128/25", "2001:db8::1"],
      ]);
      assert.ok(correction !== null);
      await filter.execute([
        { kind: "add-members", instance, members: correction.added },
        { kind: "delete-members", instance, members: correction.removed },
      ]);
      assert.deepEqual(textsOf(await filter.correction(instance, peers(wanted))), [[], []]);
      assert.equal(await filter.correction({ ...instance, name: "ant-none" }, peers(wanted)), null, "no set");
      const many = Array.from({ length: 1_001 }, (_, index) => `198.18.${index >> 8}.${index & 255}`);
      assert.equal(await filter.correction(instance, peers(many)), null, "too much differs");
    });

    scenario("the connection table can be read, and nothing is kept cut in it", async ({ filter }) => {
      for await (const batch of filter.connections.dump()) assert.ok(batch.length > 0);
      assert.deepEqual(filter.connections.cutFlows(), []);
      assert.deepEqual(await filter.connections.cut([]), { cut: 0, gone: 0, socketsEnded: 0 });
      await filter.connections.restore([]);
    });
  });
}

interface Rig {
  readonly fixture: PacketFilterFixture;
  readonly filter: PacketFilter;
}

async function install(
  filter: PacketFilter,
  before: Installed | null,
  program: RuleProgram,
): Promise<Installed> {
  const plan = planSafe(before, program, await filter.instances());
  await filter.execute(plan.commands);
  return plan.installed;
}

function web(members: readonly string[], more: Partial<PolicyDocument> = {}, settling = false): RuleProgram {
  return program(
    {
      mode: "full",
      sets: { web: members },
      rules: [
        {
          id: "web",
          direction: "in",
          action: "allow",
          peers: ["web"],
          services: [{ protocol: "tcp", ports: [80] }],
        },
      ],
      ...more,
    },
    settling,
  );
}

/** Many services with peers of their own: what a compiler lays out in pairs. */
function tiers(last: number): RuleProgram {
  const names = Array.from({ length: 12 }, (_, index) => `tier-${index}`);
  return program({
    mode: "full",
    sets: Object.fromEntries(
      names.map((name, index) => [name, [`192.0.2.${index * 8 + last}`, `2001:db8::${index}:${last}`]]),
    ),
    rules: names.map((name, index) => ({
      id: name,
      direction: "in",
      action: "allow",
      peers: [name],
      services: [{ protocol: "tcp", ports: [8_000 + index] }],
    })),
  });
}

function program(document: PolicyDocument, settling = false): RuleProgram {
  const compiled = compile(policyFrom(document), { settling });
  assert.ok(compiled !== null);
  return compiled;
}

function peers(texts: readonly string[]) {
  return { kind: "peers", members: AddressSet.from(texts) } as const;
}

/** Members to add and members to delete. */
function textsOf(change: SetChange | null): readonly (readonly string[])[] | null {
  if (change === null) return null;
  return [change.added, change.removed].map((set) => {
    assert.ok(set.kind === "peers");
    return [...set.members.strings()];
  });
}

function names(installed: Installed): ReadonlySet<string> {
  return new Set([...installed.instances.values()].map((instance) => instance.name));
}

function packet(from: string, port: number): Packet {
  const source = parseAddress(from);
  const family = source.length === 4 ? 4 : 6;
  const destination = parseAddress(family === 4 ? "192.0.2.254" : "2001:db8::ffff");
  return {
    direction: "in",
    loopback: false,
    family,
    protocol: 6,
    source,
    destination,
    sourcePort: 40_000,
    destinationPort: port,
    icmpType: null,
    icmpCode: null,
    hopLimit: 64,
    state: "new",
    reply: false,
    reset: false,
    cut: false,
    protected: false,
    originalDestination: destination,
    originalPort: port,
  };
}

function isRefusal(error: unknown): boolean {
  assert.ok(error instanceof AntennaError);
  assert.equal(error.code, "kernel-refused");
  assert.match(error.operation, /./);
  assert.ok(error.detail !== null && error.detail.length > 0, "a refusal without the kernel's words");
  return true;
}

async function within<T>(work: Promise<T>, ms: number, otherwise: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${otherwise} within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
