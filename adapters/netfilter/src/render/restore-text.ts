import { jumpIsFirst, type TableReading } from "../backend/rule-table.js";
import { jumps, type Ruleset } from "./chain.js";
import { protocolNumberOf } from "./protocol-names.js";

/**
 * The input of one `iptables-restore --noflush` that brings the table from what was read to the ruleset; null: nothing
 * to do. Chains in `keep` stand as they are meant. A chain that is declared is emptied first, ours that the ruleset
 * does not know are deleted last, and a jump that is not first is taken out by its full text and put there.
 *
 * @param referenced chains that somebody else's rule leads to: they are emptied and stay.
 */
export function switchText(
  ruleset: Ruleset,
  reading: TableReading,
  keep: ReadonlySet<string>,
  referenced: ReadonlySet<string> = new Set(),
): string | null {
  const written = ruleset.chains.filter((chain) => !keep.has(chain.name));
  const wanted = new Set(ruleset.chains.map((chain) => chain.name));
  const stale = [...reading.chains.keys()].filter((name) => !wanted.has(name)).sort();
  const moved = ruleset.jumps.filter((jump) => !jumpIsFirst(reading.builtins[jump.builtin]));
  const harmful = stale.filter((name) => !referenced.has(name) || reading.empty?.has(name) !== true);
  if (written.length + harmful.length + moved.length === 0) return null;

  const lines = ["*filter"];
  for (const chain of written) lines.push(`:${chain.name} - [0:0]`);
  for (const name of stale) lines.push(`:${name} - [0:0]`);
  for (const chain of written) for (const rule of chain.rules) lines.push(`-A ${chain.name} ${rule}`);
  for (const jump of moved) {
    for (const _ of reading.builtins[jump.builtin].jumps) lines.push(`-D ${jump.builtin} -j ${jump.entry}`);
    lines.push(`-I ${jump.builtin} 1 -j ${jump.entry}`);
  }
  for (const name of stale) if (!referenced.has(name)) lines.push(`-X ${name}`);
  lines.push("COMMIT", "");
  return lines.join("\n");
}

/**
 * Takes jumps and chains of ours out; null: there are none.
 *
 * @param referenced chains that somebody else's rule leads to: they are emptied and stay.
 */
export function removalText(reading: TableReading, referenced: ReadonlySet<string>): string | null {
  const chains = [...reading.chains.keys()].sort();
  const lines = ["*filter"];
  for (const name of chains) lines.push(`:${name} - [0:0]`);
  for (const jump of jumps) {
    for (const _ of reading.builtins[jump.builtin].jumps) lines.push(`-D ${jump.builtin} -j ${jump.entry}`);
  }
  for (const name of chains) if (!referenced.has(name)) lines.push(`-X ${name}`);
  if (lines.length === 1) return null;
  lines.push("COMMIT", "");
  return lines.join("\n");
}

/** Deletes those of the chains that are there and hold no rule; null: there are none. */
export function deletionText(reading: TableReading, names: readonly string[]): string | null {
  const empty = names.filter((name) => reading.empty?.has(name));
  if (empty.length === 0) return null;
  return ["*filter", ...empty.map((name) => `-X ${name}`), "COMMIT", ""].join("\n");
}

/** The rules of a chain in the output of iptables-save, for comparing as text. */
export function savedRules(saved: string, name: string): readonly string[] {
  const prefix = `-A ${name} `;
  return saved
    .split("\n")
    .filter((line) => line.startsWith(prefix))
    .map((line) => line.slice(prefix.length).trimEnd());
}

/**
 * A rule with its protocol as a number: iptables-save takes names from /etc/protocols, and two hosts differ in them.
 *
 * @param protocols the content of /etc/protocols.
 */
export function withProtocolNumber(rule: string, protocols: string): string {
  return rule.replace(/(^| )-p ([\w-]+)/, (whole, before: string, name: string) => {
    const number = protocolNumberOf(name) ?? new RegExp(`^${name}\\s+(\\d+)`, "m").exec(protocols)?.[1];
    return number === undefined ? whole : `${before}-p ${number}`;
  });
}
