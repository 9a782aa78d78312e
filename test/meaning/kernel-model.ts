import type { TableReading } from "@antenna/netfilter/internal/backend/rule-table.js";
import { isOurChain } from "@antenna/netfilter/internal/render/chain.js";
import { renderRules } from "@antenna/netfilter/internal/render/render-rules.js";
import { removalText, switchText } from "@antenna/netfilter/internal/render/restore-text.js";
import { kernelSetName } from "@antenna/netfilter/internal/render/set-condition.js";
import type { Command, Family, Installed, ProgramSet, SetInstance } from "@antenna/sdk";
import { type KernelSet, type KernelSetType, kernelSet } from "../tracer/kernel-set.js";
import { applyRestore, emptyRuleset, type Ruleset } from "../tracer/ruleset.js";
import { type Trace, type TraceOptions, trace } from "../tracer/trace.js";
import type { TracedPacket } from "../tracer/traced-packet.js";
import { ownersPrefix } from "./expectation.js";

export const cutMark = 0x10000000;
const renderOptions = { cutMark, nflogGroup: 4711, nflogRate: 50 } as const;

const families: readonly Family[] = [4, 6];
/** What has a port in a set (net/netfilter/ipset/ip_set_getport.c); of DCCP it would keep port 0. */
const pairProtocols: readonly number[] = [6, 17, 132, 136];
const ownersRules = `*filter
-A INPUT -j NFLOG --nflog-group 7 --nflog-prefix "${ownersPrefix}"
-A OUTPUT -j NFLOG --nflog-group 7 --nflog-prefix "${ownersPrefix}"
COMMIT
`;

/**
 * The kernel as far as a packet sees it: a filter table for each family, made of nothing but rendered text that the
 * tracer reads, and sets. It refuses what the kernel refuses.
 */
export class KernelModel {
  readonly #tables: Record<Family, Ruleset> = {
    4: applyRestore(emptyRuleset(4), ownersRules),
    6: applyRestore(emptyRuleset(6), ownersRules),
  };
  readonly #texts: Record<Family, Map<string, string>> = { 4: new Map(), 6: new Map() };
  readonly #sets = new Map<string, KernelSet>();

  /** Executes a command; `look` is called in every state that a packet may meet on the way and at its end. */
  execute(command: Command, look: () => void = () => undefined): void {
    switch (command.kind) {
      case "create-set":
        for (const family of families) this.#create(command.instance, command.content, family);
        break;
      case "add-members":
      case "delete-members":
        for (const family of families) {
          for (const member of memberTexts(command.members, family)) {
            this.#change(command.instance, family, member, command.kind === "add-members");
            look();
          }
        }
        break;
      case "switch-rules":
        this.#switch(command.installed, command.family);
        break;
      case "remove-rules":
        this.#remove(command.family);
        break;
      case "destroy-set":
        for (const family of families) this.#destroy(kernelSetName(command.instance, family));
    }
    look();
  }

  trace(packet: TracedPacket, options?: TraceOptions): Trace {
    return trace(this.#tables[packet.family], this.#sets, packet, options);
  }

  /** A restart without a baseline: nothing that stands is trusted, so that every chain is written again. */
  forgetBaselines(): void {
    for (const family of families) this.#texts[family] = new Map();
  }

  /** Names of the instances that exist. */
  instances(): ReadonlySet<string> {
    return new Set([...this.#sets.keys()].map((name) => name.replace(/-[46]$/, "")));
  }

  /** Destroys what a crash left over of an instance. */
  sweep(instance: string): void {
    for (const family of families) this.#destroy(`${instance}-${family}`);
  }

  /** Our chains as text, for a failure. */
  show(family: Family): string {
    const rules = [...this.#texts[family].values()].join("\n");
    const sets = [...this.#sets.values()]
      .filter((set) => set.family === family)
      .map(
        (set) =>
          `${set.name} ${set.type}: ${set.texts.size < 200 ? [...set.texts].join(" ") : set.texts.size}`,
      );
    return [...sets, rules].join("\n");
  }

  #switch(installed: Installed, family: Family): void {
    const ruleset = renderRules(installed, family, renderOptions);
    const wanted = new Map(
      ruleset.chains.map((chain) => [
        chain.name,
        chain.rules.map((rule) => `-A ${chain.name} ${rule}`).join("\n"),
      ]),
    );
    const known = this.#texts[family];
    const keep = new Set(
      [...wanted].filter(([name, text]) => known.get(name) === text).map(([name]) => name),
    );
    const text = switchText(ruleset, this.#reading(family), keep);
    if (text === null) return;
    this.#tables[family] = applyRestore(this.#tables[family], text);
    this.#texts[family] = wanted;
    for (const name of this.#namedSets(family)) {
      if (!this.#sets.has(name)) throw new Error(`the rules name a set that is not there: ${name}`);
    }
    this.#assertOnlyOurs(family, new Set(wanted.keys()));
  }

  #remove(family: Family): void {
    const text = removalText(this.#reading(family), new Set());
    if (text !== null) this.#tables[family] = applyRestore(this.#tables[family], text);
    this.#texts[family] = new Map();
    this.#assertOnlyOurs(family, new Set());
  }

  #reading(family: Family): TableReading {
    const { chains } = this.#tables[family];
    const builtin = (name: "INPUT" | "OUTPUT"): TableReading["builtins"]["INPUT"] => {
      const rules = chains.get(name)?.rules ?? [];
      const jumps = [...rules.entries()].filter(([, { target, matches }]) => {
        return target?.kind === "jump" && isOurChain(target.chain) && matches.length === 0;
      });
      return { rules: rules.length, jumps: jumps.map(([index]) => index) };
    };
    return {
      generation: null,
      exists: true,
      chains: new Map([...chains.keys()].filter(isOurChain).map((name) => [name, name])),
      builtins: { INPUT: builtin("INPUT"), OUTPUT: builtin("OUTPUT") },
    };
  }

  /** Nothing of an earlier program is left, and our jump is the first rule. */
  #assertOnlyOurs(family: Family, wanted: ReadonlySet<string>): void {
    const { chains } = this.#tables[family];
    for (const [name, chain] of chains) {
      if (chain.policy === null && !wanted.has(name)) throw new Error(`a chain was left: ${name}`);
      if (name !== "INPUT" && name !== "OUTPUT") continue;
      const [first, ...others] = chain.rules.map((rule) => rule.target?.kind);
      const expected = wanted.size === 0 ? ["log"] : ["jump", "log"];
      if ([first, ...others].join(" ") !== expected.join(" "))
        throw new Error(`${name} is not as it should be`);
    }
  }

  #create(instance: SetInstance, content: ProgramSet, family: Family): void {
    const name = kernelSetName(instance, family);
    if (name.length > 31) throw new Error(`the name of a set is too long: ${name}`);
    if (this.#sets.has(name)) throw new Error(`a set of this name is there: ${name}`);
    const address = instance.shapes[family] === "hosts" ? "hash:ip" : "hash:net";
    const type: KernelSetType = instance.kind === "pairs" ? `${address},port` : address;
    this.#put(instance, family, kernelSet(name, type, family, memberTexts(content, family)));
  }

  #change(instance: SetInstance, family: Family, member: string, add: boolean): void {
    const set = this.#sets.get(kernelSetName(instance, family));
    if (set === undefined) throw new Error(`no such set: ${instance.name}`);
    const texts = new Set(set.texts);
    if (add && texts.has(member)) throw new Error(`a member already: ${member} in ${set.name}`);
    if (add) texts.add(member);
    else if (!texts.delete(member)) throw new Error(`no such member: ${member} in ${set.name}`);
    this.#put(instance, family, kernelSet(set.name, set.type, family, texts));
  }

  #put(instance: SetInstance, family: Family, set: KernelSet): void {
    if (set.texts.size > instance.capacity[family]) throw new Error(`the set is full: ${set.name}`);
    this.#sets.set(set.name, set);
  }

  #destroy(name: string): void {
    for (const family of families) {
      if (this.#namedSets(family).has(name)) throw new Error(`the set is in use: ${name}`);
    }
    if (!this.#sets.delete(name)) throw new Error(`no such set: ${name}`);
  }

  #namedSets(family: Family): ReadonlySet<string> {
    const names = new Set<string>();
    for (const chain of this.#tables[family].chains.values()) {
      for (const rule of chain.rules) {
        for (const match of rule.matches) if (match.kind === "set") names.add(match.name);
      }
    }
    return names;
  }
}

/** Members in ipset's words. A prefix of length zero is refused by the kernel: it stands as its two halves. */
function memberTexts(set: ProgramSet, family: Family): readonly string[] {
  const blocks = (members: { strings(): Iterable<string> }): string[] =>
    [...members.strings()]
      .filter((text) => text.includes(":") === (family === 6))
      .flatMap((text) => {
        if (!text.endsWith("/0")) return [text];
        return family === 4 ? ["0.0.0.0/1", "128.0.0.0/1"] : ["::/1", "8000::/1"];
      });
  if (set.kind === "peers") return blocks(set.members);
  const unported = set.parts.find((part) => !pairProtocols.includes(part.protocol));
  if (unported !== undefined) throw new Error(`ipset keeps no port of protocol ${unported.protocol}`);
  return set.parts.flatMap((part) =>
    blocks(part.members).flatMap((block) => part.ports.map((port) => `${block},${part.protocol}:${port}`)),
  );
}
