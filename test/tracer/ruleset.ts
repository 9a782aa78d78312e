import type { TracedRule } from "./rule.js";
import { identityOf, parseRule } from "./rule.js";
import { splitWords } from "./words.js";

interface Chain {
  /** null: a chain of somebody's own; what falls off its end returns. */
  readonly policy: "ACCEPT" | "DROP" | null;
  readonly rules: readonly TracedRule[];
}

/** The `filter` table of one family. Immutable. */
export interface Ruleset {
  readonly family: 4 | 6;
  readonly chains: ReadonlyMap<string, Chain>;
}

/** What the kernel holds before anybody wrote. */
export function emptyRuleset(family: 4 | 6): Ruleset {
  const open: Chain = { policy: "ACCEPT", rules: [] };
  return {
    family,
    chains: new Map([
      ["INPUT", open],
      ["FORWARD", open],
      ["OUTPUT", open],
    ]),
  };
}

/** The ruleset that iptables-save printed, or that a restore makes of an empty table. */
export function parseRuleset(restoreText: string, family: 4 | 6): Ruleset {
  return applyRestore(emptyRuleset(family), restoreText);
}

/**
 * What `iptables-restore --noflush` does to the table, in one transaction: a chain named by `:` is made, or emptied if
 * it is there and not built in. Throws where the program or the kernel refuses, and on everything it does not know.
 */
export function applyRestore(before: Ruleset, restoreText: string): Ruleset {
  let chains: Map<string, Chain> | null = null;
  let after: Ruleset = before;
  for (const line of restoreText.split("\n")) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    if (line.startsWith("*")) {
      if (line.trim() !== "*filter") throw new Error(`a table that is not known: ${line}`);
      if (chains !== null) throw new Error("a table inside a table");
      chains = new Map(after.chains);
    } else if (chains === null) {
      throw new Error(`outside of a table: ${line}`);
    } else if (line.trim() === "COMMIT") {
      after = { family: before.family, chains };
      checkJumps(after);
      chains = null;
    } else {
      command(chains, line, before.family);
    }
  }
  if (chains !== null) throw new Error("no COMMIT");
  return after;
}

function command(chains: Map<string, Chain>, line: string, family: 4 | 6): void {
  if (line.startsWith(":")) {
    declare(chains, line);
    return;
  }
  // `[packets:bytes] -A …`: counters of iptables-save -c.
  const words = splitWords(line.replace(/^\[\d+:\d+\] /, ""));
  const [verb = "", name = "", ...rest] = words;
  const chain = chains.get(name);
  const present = (): Chain => {
    if (chain === undefined) throw new Error(`no chain of this name: ${line}`);
    return chain;
  };
  switch (verb) {
    case "-A":
    case "--append": {
      chains.set(name, { ...present(), rules: [...present().rules, parseRule(rest, family)] });
      return;
    }
    case "-I":
    case "--insert": {
      const numbered = /^[1-9]\d*$/.test(rest[0] ?? "");
      const index = numbered ? Number(rest[0]) - 1 : 0;
      const rules = [...present().rules];
      if (index > rules.length) throw new Error(`index of insertion too big: ${line}`);
      rules.splice(index, 0, parseRule(numbered ? rest.slice(1) : rest, family));
      chains.set(name, { ...present(), rules });
      return;
    }
    case "-R":
    case "--replace": {
      const rules = [...present().rules];
      const index = Number(rest[0]) - 1;
      if (rules[index] === undefined) throw new Error(`index of replacement too big: ${line}`);
      rules[index] = parseRule(rest.slice(1), family);
      chains.set(name, { ...present(), rules });
      return;
    }
    case "-D":
    case "--delete": {
      const rules = [...present().rules];
      const numbered = /^[1-9]\d*$/.test(rest[0] ?? "");
      const wanted = numbered ? null : identityOf(parseRule(rest, family));
      const index = numbered ? Number(rest[0]) - 1 : rules.findIndex((rule) => identityOf(rule) === wanted);
      if (rules[index] === undefined) throw new Error(`no such rule to delete: ${line}`);
      rules.splice(index, 1);
      chains.set(name, { ...present(), rules });
      return;
    }
    case "-F":
    case "--flush":
      chains.set(name, { ...present(), rules: [] });
      return;
    case "-N":
    case "--new-chain":
      if (chain !== undefined) throw new Error(`the chain is there already: ${line}`);
      addChain(chains, name);
      return;
    case "-X":
    case "--delete-chain":
      if (present().policy !== null) throw new Error(`a built-in chain: ${line}`);
      if (present().rules.length > 0) throw new Error(`the chain is not empty: ${line}`);
      if (referenced(chains, name)) throw new Error(`the chain is in use: ${line}`);
      chains.delete(name);
      return;
    case "-P":
    case "--policy":
      chains.set(name, { ...present(), policy: policy(rest[0] ?? "", line) });
      return;
    default:
      throw new Error(`not understood: ${line}`);
  }
}

function declare(chains: Map<string, Chain>, line: string): void {
  const [name = "", word = ""] = line.slice(1).split(/\s+/);
  const chain = chains.get(name);
  if (chain?.policy !== null && chain !== undefined) {
    if (word !== "-") chains.set(name, { ...chain, policy: policy(word, line) });
    return;
  }
  if (word !== "-") throw new Error(`a policy for a chain of one's own: ${line}`);
  addChain(chains, name);
}

function addChain(chains: Map<string, Chain>, name: string): void {
  // XT_EXTENSION_MAXNAMELEN is 29 with the closing zero.
  if (!/^[^\s!-][^\s]{0,27}$/.test(name)) throw new Error(`not the name of a chain: ${name}`);
  chains.set(name, { policy: null, rules: [] });
}

function policy(word: string, line: string): "ACCEPT" | "DROP" {
  if (word === "ACCEPT" || word === "DROP") return word;
  throw new Error(`not a policy: ${line}`);
}

function referenced(chains: ReadonlyMap<string, Chain>, name: string): boolean {
  return [...chains.values()].some((chain) => chain.rules.some((rule) => target(rule) === name));
}

/** The kernel refuses jumps to nowhere and circles (ENOENT, ELOOP). */
function checkJumps(ruleset: Ruleset): void {
  const done = new Set<string>();
  const visit = (name: string, above: readonly string[]): void => {
    if (above.includes(name)) throw new Error(`chains in a circle: ${[...above, name].join(" → ")}`);
    if (done.has(name)) return;
    const chain = ruleset.chains.get(name);
    if (chain === undefined) throw new Error(`a jump to a chain or target that is not there: ${name}`);
    for (const rule of chain.rules) {
      const next = target(rule);
      if (next === null) continue;
      if (ruleset.chains.get(next)?.policy) throw new Error(`a jump to a built-in chain: ${next}`);
      visit(next, [...above, name]);
    }
    done.add(name);
  };
  for (const name of ruleset.chains.keys()) visit(name, []);
}

function target(rule: TracedRule): string | null {
  return rule.target?.kind === "jump" || rule.target?.kind === "goto" ? rule.target.chain : null;
}
