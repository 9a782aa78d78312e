import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type {
  Blocks,
  Command,
  Decision,
  Family,
  Installed,
  Packet,
  Policy,
  ProgramSet,
  RuleProgram,
  SetInstance,
} from "@antenna/sdk";
import { builtinEssentials } from "@antenna/sdk/internal/evaluate/essentials.js";
import { AddressSet } from "@antenna/sdk/internal/policy/address-set.js";
import { compile } from "@antenna/sdk/internal/program/compile.js";
import { type CostModel, measuredCosts } from "@antenna/sdk/internal/program/cost-model.js";
import { decide } from "@antenna/sdk/internal/program/decide.js";
import {
  addressesOf,
  changeOf,
  countMembers,
  type SetChange,
} from "@antenna/sdk/internal/program/set-change.js";
import { planRemove, planRepair, planSafe } from "@antenna/sdk/internal/reconcile/plan.js";
import {
  changedPolicy,
  nearMember,
  randomPacket,
  randomPolicy,
  randomSet,
  showPacket,
  showPolicy,
} from "./arbitrary-policy.js";
import { Random, runSeed } from "./random.js";

const families: readonly Family[] = [4, 6];

/** Sets by instance and rules by family, as commands leave them; it refuses what a kernel refuses. */
class ModelKernel {
  readonly sets = new Map<string, ProgramSet>();
  readonly rules = new Map<Family, Installed>();

  /** Executes one command; writing members shows every state on the way to `look`. */
  execute(command: Command, look: () => void): void {
    switch (command.kind) {
      case "create-set":
        assert.ok(!this.sets.has(command.instance.name), "a set of that name exists");
        assert.match(command.instance.name, /^ant-[a-z0-9-]{1,20}$/);
        this.sets.set(command.instance.name, command.content);
        this.#admits(command.instance.name, command);
        break;
      case "add-members":
        for (const part of singly(command.members)) {
          this.#change(command.instance.name, part, command);
          look();
        }
        break;
      case "delete-members":
        for (const part of singly(command.members)) {
          this.#change(command.instance.name, part, command);
          look();
        }
        break;
      case "switch-rules":
        for (const instance of command.installed.instances.values())
          assert.ok(this.sets.has(instance.name), "rules name a set that does not exist");
        this.rules.set(command.family, command.installed);
        break;
      case "remove-rules":
        this.rules.delete(command.family);
        break;
      case "destroy-set":
        for (const installed of this.rules.values())
          for (const instance of installed.instances.values())
            assert.notEqual(instance.name, command.instance.name, "the set is in use");
        assert.ok(this.sets.delete(command.instance.name), "no such set");
    }
    look();
  }

  decide(packet: Packet): Decision["verdict"] {
    const installed = this.rules.get(packet.family);
    if (installed === undefined) return "allowed";
    const get = (key: string): ProgramSet | undefined =>
      this.sets.get(installed.instances.get(key)?.name ?? "");
    return decide(installed.program, packet, { get }).verdict;
  }

  #change(
    name: string,
    part: ProgramSet,
    command: Command & { kind: "add-members" | "delete-members" },
  ): void {
    const standing = this.sets.get(name);
    assert.ok(standing !== undefined, "no such set");
    this.sets.set(name, changed(standing, part, command.kind));
    this.#admits(name, command);
  }

  #admits(name: string, command: Command & { kind: "create-set" | "add-members" | "delete-members" }): void {
    const content = this.sets.get(name) as ProgramSet;
    for (const family of families) {
      assert.ok(countMembers(content, family) <= command.instance.capacity[family], "the set is full");
      if (command.instance.shapes[family] === "blocks") continue;
      const full = family === 4 ? 32 : 128;
      for (const members of content.kind === "peers"
        ? [content.members]
        : content.parts.map((part) => part.members))
        assert.ok(
          members.blocks(family).prefix.every((prefix) => prefix === full),
          "a block in a set of hosts",
        );
    }
  }
}

/** Member by member, port by port: what a kernel does one after another. */
function* singly(set: ProgramSet): Generator<ProgramSet> {
  const members = set.kind === "peers" ? [{ members: set.members, protocol: 0, ports: [0] }] : set.parts;
  for (const part of members) {
    for (const text of part.members.strings()) {
      const one = AddressSet.from([text]);
      if (set.kind === "peers") yield { kind: "peers", members: one };
      else
        for (const port of part.ports)
          yield { kind: "pairs", parts: [{ members: one, protocol: part.protocol, ports: [port] }] };
    }
  }
}

/**
 * The kernel keeps blocks as they were added, nested ones too; AddressSet would swallow them. A list of texts does not.
 */
function changed(set: ProgramSet, part: ProgramSet, kind: "add-members" | "delete-members"): ProgramSet {
  const change = (members: AddressSet, one: AddressSet): AddressSet => Nested.of(members).changed(one, kind);
  if (set.kind === "peers" && part.kind === "peers")
    return { kind: "peers", members: change(set.members, part.members) };
  assert.ok(set.kind === "pairs" && part.kind === "pairs");
  const [{ members: one, protocol, ports }] = part.parts as [(typeof part.parts)[0]];
  const parts = set.parts.flatMap((each) => each.ports.map((port) => ({ ...each, ports: [port] })));
  const found = parts.findIndex((each) => each.protocol === protocol && each.ports[0] === ports[0]);
  const members = change(parts[found]?.members ?? AddressSet.empty, one);
  if (found < 0) return { kind: "pairs", parts: [...parts, { members, protocol, ports }] };
  return {
    kind: "pairs",
    parts: parts.map((each, index) => (index === found ? { ...each, members } : each)),
  };
}

/** An AddressSet for looking up, that remembers every block that was added. */
class Nested {
  static readonly #known = new WeakMap<AddressSet, Nested>();
  readonly #texts: ReadonlySet<string>;

  private constructor(texts: ReadonlySet<string>) {
    this.#texts = texts;
  }

  static of(set: AddressSet): Nested {
    return Nested.#known.get(set) ?? new Nested(new Set(set.strings()));
  }

  changed(one: AddressSet, kind: "add-members" | "delete-members"): AddressSet {
    const [text] = [...one.strings()] as [string];
    const texts = new Set(this.#texts);
    if (kind === "add-members") {
      assert.ok(!texts.has(text), "it is a member already");
      texts.add(text);
    } else assert.ok(texts.delete(text), "it is no member");
    const { v4, v6 } = AddressSet.from(texts);
    const built = AddressSet.fromBlocks(sliced(v4), sliced(v6));
    Nested.#known.set(built, new Nested(texts));
    return built;
  }
}

/** A copy, so that each set is an object of its own, the empty one too. */
function sliced(blocks: Blocks): Blocks {
  return { ...blocks, prefix: blocks.prefix.slice() };
}

const models: Readonly<Record<string, CostModel>> = {
  measured: measuredCosts,
  pairs: { ...measuredCosts, stageBudgetNs: 0, memberApplyUs: 0, ruleApplyUs: 1e6 },
  unions: { ...measuredCosts, stageBudgetNs: 0, listBudgetNs: 0, memberApplyUs: 1e6, fanOut: 3 },
};

/** Packets that tell old from new: most come from where members differ. */
function packetsBetween(random: Random, before: Policy, after: Policy): Packet[] {
  const packets: Packet[] = [];
  const differing = [...after.sets].flatMap(([name, set]) => {
    const old = before.sets.get(name);
    if (old === undefined || old === set) return [];
    const { added, removed } = old.diff(set);
    return [added, removed].filter((each) => each.size > 0);
  });
  for (let count = 0; count < 40; count++) {
    const policy = random.chance(0.5) ? before : after;
    const packet = randomPacket(random, policy, builtinEssentials(policy));
    const set = differing.length > 0 && random.chance(0.8) ? random.pick(differing) : null;
    if (set === null) packets.push(packet);
    else {
      const peer = nearMember(random, set, packet.family);
      const incoming = packet.direction === "in";
      packets.push(
        incoming ? { ...packet, source: peer } : { ...packet, destination: peer, originalDestination: null },
      );
    }
  }
  return packets;
}

/** As a foreign hand leaves it: members are gone, others came. */
function spoil(random: Random, content: ProgramSet, { shapes }: SetInstance): ProgramSet {
  const change = (members: AddressSet): AddressSet => {
    const kept = [...members.strings()].filter(() => random.chance(0.8));
    const come = random.chance(0.6) ? [...randomSet(random, 3).strings()] : [];
    const fit = come.filter((text) => !text.includes("/") || shapes[text.includes(":") ? 6 : 4] === "blocks");
    return AddressSet.from([...kept, ...fit]);
  };
  if (content.kind === "peers") return { kind: "peers", members: change(content.members) };
  const parts = content.parts.map((part) => ({ ...part, members: change(part.members) }));
  return { kind: "pairs", parts };
}

describe("planSafe", () => {
  for (const [name, costs] of Object.entries(models)) {
    test(`every packet gets the old verdict or the new one, at every step (${name})`, () => {
      const random = new Random(runSeed(`plan-safe ${name}`));
      const kinds = new Map<string, number>();
      let [inPlace, turned] = [0, 0];
      for (let round = 0; round < 250; round++) {
        const kernel = new ModelKernel();
        let before = randomPolicy(random, {
          modes: ["full", "full", "selective"],
          maxRules: round % 5 === 0 ? 40 : 10,
        });
        let installed: Installed | null = null;
        let program: RuleProgram | null = null;
        let servers = randomSet(random, 16);
        for (let version = 0; version < 3; version++) {
          if (random.chance(0.3)) servers = servers.with(randomSet(random, 3), AddressSet.empty);
          const after: Policy = version === 0 ? before : changedPolicy(random, before);
          const next = compile(after, {
            costs,
            essentials: builtinEssentials(after, { ntp: servers }),
          }) as RuleProgram;
          const plan = planSafe(installed, next, new Set(kernel.sets.keys()));
          const packets = packetsBetween(random, before, after);
          const old = packets.map((packet) => kernel.decide(packet));
          const now = packets.map((packet) => decide(next, packet).verdict);
          for (const [index, command] of plan.commands.entries()) {
            kinds.set(command.kind, (kinds.get(command.kind) ?? 0) + 1);
            kernel.execute(command, () => {
              for (const [at, packet] of packets.entries()) {
                const verdict = kernel.decide(packet);
                if (verdict === old[at] || verdict === now[at]) continue;
                const commands = plan.commands.map(
                  (each, place) =>
                    `${place === index ? "=> " : "   "}${each.kind} ${"instance" in each ? each.instance.key : each.family}`,
                );
                assert.fail(
                  [
                    `${old[at]} -> ${verdict} -> ${now[at]}`,
                    ...commands,
                    showPacket(packet),
                    showPolicy(before),
                    showPolicy(after),
                  ].join("\n"),
                );
              }
            });
          }
          assert.deepEqual(
            packets.map((packet) => kernel.decide(packet)),
            now,
          );
          assert.deepEqual(
            new Set(kernel.sets.keys()),
            new Set([...plan.installed.instances.values()].map((each) => each.name)),
          );
          if (!plan.narrows)
            assert.ok(
              !old.some((verdict, at) => verdict === "allowed" && now[at] === "blocked"),
              "it narrows and does not say so",
            );
          turned += old.filter((verdict, at) => verdict !== now[at]).length;
          const edits = plan.commands.filter(
            (each) => each.kind === "add-members" || each.kind === "delete-members",
          );
          if (edits.length === plan.commands.length && edits.length > 0) inPlace++;
          installed = plan.installed;
          program = next;
          before = after;
          assert.deepEqual(
            planSafe(installed, program, new Set(kernel.sets.keys())).commands,
            [],
            "nothing to do twice",
          );
        }
        for (const command of planRemove(installed as unknown as Installed))
          kernel.execute(command, () => {});
        assert.equal(kernel.sets.size + kernel.rules.size, 0);
      }
      for (const kind of ["create-set", "add-members", "delete-members", "switch-rules", "destroy-set"])
        assert.ok((kinds.get(kind) ?? 0) >= 20, `${kind}: only ${kinds.get(kind)}`);
      assert.ok(inPlace >= 20, `only ${inPlace} plans in place`);
      assert.ok(turned >= 500, `only ${turned} packets tell old from new`);
    });
  }

  test("a repair of members takes no packet to a verdict of neither side, at every step", () => {
    const random = new Random(runSeed("plan-repair"));
    let [inPlace, moved, turned] = [0, 0, 0];
    for (let round = 0; round < 400; round++) {
      const meant = randomPolicy(random, {
        modes: ["full", "full", "selective"],
        maxRules: round % 5 === 0 ? 40 : 10,
      });
      const program = compile(meant, {
        costs: random.pick(Object.values(models)),
        essentials: builtinEssentials(meant, { ntp: randomSet(random, 16) }),
      }) as RuleProgram;
      const kernel = new ModelKernel();
      const first = planSafe(null, program, new Set());
      for (const command of first.commands) kernel.execute(command, () => {});
      const corrections = new Map<string, SetChange>();
      let damage = AddressSet.empty;
      for (const [key, instance] of first.installed.instances) {
        const content = program.sets.get(key);
        if (content === undefined || random.chance(0.4)) continue;
        const spoiled = spoil(random, content, instance);
        const change = changeOf(spoiled, content);
        if (change === null) continue;
        kernel.sets.set(instance.name, spoiled);
        corrections.set(key, change);
        for (const part of [change.added, change.removed])
          damage = damage.with(addressesOf(part), AddressSet.empty);
      }
      const spoilt: Policy = { ...meant, sets: new Map([...meant.sets, ["any", damage]]) };
      const packets = packetsBetween(
        random,
        { ...meant, sets: new Map([...meant.sets, ["any", AddressSet.empty]]) },
        spoilt,
      );
      const old = packets.map((packet) => kernel.decide(packet));
      const now = packets.map((packet) => decide(program, packet).verdict);
      turned += old.filter((verdict, at) => verdict !== now[at]).length;
      const plan = planRepair(first.installed, corrections, new Set(kernel.sets.keys()));
      for (const command of plan.commands) {
        kernel.execute(command, () => {
          for (const [at, packet] of packets.entries()) {
            const verdict = kernel.decide(packet);
            if (verdict === old[at] || verdict === now[at]) continue;
            assert.fail(
              [
                `${old[at]} -> ${verdict} -> ${now[at]}`,
                command.kind,
                showPacket(packet),
                showPolicy(meant),
              ].join("\n"),
            );
          }
        });
      }
      assert.deepEqual(
        packets.map((packet) => kernel.decide(packet)),
        now,
      );
      const switches = plan.commands.some(({ kind }) => kind === "switch-rules");
      if (switches) moved++;
      else if (plan.commands.length > 0) inPlace++;
      if (!plan.narrows)
        assert.ok(!old.some((verdict, at) => verdict === "allowed" && now[at] === "blocked"));
    }
    assert.ok(inPlace >= 50 && moved >= 20, `${inPlace} in place, ${moved} by a switch`);
    assert.ok(turned >= 300, `only ${turned} packets tell what was found from what is meant`);
  });

  const policy = (
    sets: Readonly<Record<string, readonly string[]>>,
    rules: readonly Partial<Policy["rules"][0]>[],
  ): Policy => ({
    version: null,
    mode: "full",
    visibility: "off",
    reject: false,
    sets: new Map(Object.entries(sets).map(([name, members]) => [name, AddressSet.from(members)])),
    rules: rules.map((rule, index) => ({
      id: `r${index}`,
      direction: "in",
      action: "allow",
      peers: ["any"],
      services: null,
      secure: false,
      ...rule,
    })),
    enforce: [],
    identities: new Map(),
  });
  const commandsFrom = (before: Policy, after: Policy): string[] => {
    const first = planSafe(null, compile(before) as RuleProgram, new Set());
    const second = planSafe(first.installed, compile(after) as RuleProgram, new Set());
    return second.commands.map(
      (command) => `${command.kind}${"instance" in command ? ` ${command.instance.key}` : ""}`,
    );
  };

  test("one member more is one command", () => {
    const rules = [{ peers: ["a"] }];
    assert.deepEqual(
      commandsFrom(policy({ a: ["10.0.0.1"] }, rules), policy({ a: ["10.0.0.1", "10.0.0.2"] }, rules)),
      ["add-members set:a"],
    );
  });

  test("an address that joins several allow sets is added in place", () => {
    const rules = [{ peers: ["a"] }, { peers: ["b"] }];
    assert.deepEqual(
      commandsFrom(
        policy({ a: ["10.0.0.1"], b: ["10.0.0.2"] }, rules),
        policy({ a: ["10.0.0.1", "10.0.0.3"], b: ["10.0.0.2", "10.0.0.3"] }, rules),
      ),
      ["add-members set:a", "add-members set:b"],
    );
  });

  test("an address that moves between sets of the same packets moves with a switch", () => {
    const rules = [{ peers: ["a"] }, { peers: ["b"] }];
    assert.deepEqual(
      commandsFrom(policy({ a: ["10.0.0.1"], b: [] }, rules), policy({ a: [], b: ["10.0.0.1"] }, rules)),
      [
        "create-set set:a",
        "create-set set:b",
        "switch-rules",
        "switch-rules",
        "destroy-set set:a",
        "destroy-set set:b",
      ],
    );
  });

  test("an address that moves between sets of different ports moves in place", () => {
    const service = (port: number) => [
      { protocol: 6, ports: [{ from: port, to: port }], icmpType: null, icmpCode: null },
    ];
    const rules = [
      { peers: ["a"], services: service(80) },
      { peers: ["b"], services: service(443) },
    ];
    assert.deepEqual(
      commandsFrom(policy({ a: ["10.0.0.1"], b: [] }, rules), policy({ a: [], b: ["10.0.0.1"] }, rules)),
      ["add-members set:b", "delete-members set:a"],
    );
  });

  test("a block in a set made for hosts needs a new set", () => {
    const rules = [{ peers: ["a"] }];
    assert.deepEqual(
      commandsFrom(policy({ a: ["10.0.0.1"] }, rules), policy({ a: ["10.0.0.1", "10.1.0.0/16"] }, rules)),
      ["create-set set:a", "switch-rules", "switch-rules", "destroy-set set:a"],
    );
  });

  test("a /0, which a kernel holds as its two halves, does not take the place of one of them in place", () => {
    const rules = [{ peers: ["a"] }];
    for (const [half, whole] of [
      ["0.0.0.0/1", "0.0.0.0/0"],
      ["8000::/1", "::/0"],
    ] as const) {
      for (const [from, to] of [
        [half, whole],
        [whole, half],
      ]) {
        assert.deepEqual(
          commandsFrom(policy({ a: [from as string] }, rules), policy({ a: [to as string] }, rules)),
          ["create-set set:a", "switch-rules", "switch-rules", "destroy-set set:a"],
        );
      }
    }
  });

  test("names of living sets are avoided", () => {
    const program = compile(policy({ a: ["10.0.0.1"] }, [{ peers: ["a"] }])) as RuleProgram;
    const [first] = [...planSafe(null, program, new Set()).installed.instances.values()];
    const [second] = [...planSafe(null, program, new Set([first?.name ?? ""])).installed.instances.values()];
    assert.notEqual(first?.name, second?.name);
  });
});
