import { createHash } from "node:crypto";
import type { Family } from "@antenna/sdk";

/** One chain as it is to stand in the filter table: rules without their `-A NAME `. */
export interface Chain {
  readonly name: string;
  readonly rules: readonly string[];
}

/** Everything of ours in one family's filter table. */
export interface Ruleset {
  readonly family: Family;
  /** Chains before those that go to them, so that one pass over the text can create them all. */
  readonly chains: readonly Chain[];
  readonly jumps: readonly Jump[];
}

/** The one rule of ours in a built-in chain: `-j entry`, first of all. */
export interface Jump {
  readonly builtin: "INPUT" | "OUTPUT";
  readonly entry: string;
}

export const jumps: readonly Jump[] = [
  { builtin: "INPUT", entry: "ANT-IN" },
  { builtin: "OUTPUT", entry: "ANT-OUT" },
];

/** A chain of this shape is ours; an owner's `ANT-FARM` is not. */
const ours =
  /^ANT-(?:(?:IN|OUT)(?:-(?:STATE|GUARD|ANSWER|ESSENTIAL|ODENY|ALLOW|DENY|DEFAULT))?|[0-9a-f]{20})$/;

export function isOurChain(name: string): boolean {
  return ours.test(name);
}

/** Hash of a chain's rules as carried in its comment and, for content-named chains, in its name: 20 hex digits. */
export function hashRules(rules: readonly string[]): string {
  return createHash("sha256").update(rules.join("\n")).digest("hex").slice(0, 20);
}

/**
 * Seals a chain: one of its rules carries the hash of all of them in a comment, for people and for other tools. Whether
 * the chain still is what it was is never decided by the comment.
 *
 * @param rules at least one; the last one has a verdict and no condition that a comment could not follow.
 */
export function sealChain(name: string | null, rules: readonly string[]): Chain {
  const hash = hashRules(rules);
  const rare = rules.findIndex((rule) => rareRule.test(rule));
  const sealed = rare < 0 ? rules.length - 1 : rare;
  return {
    name: name ?? `ANT-${hash}`,
    rules: rules.map((rule, index) => (index === sealed ? withComment(rule, `ant:${hash}`) : rule)),
  };
}

/**
 * A comment costs a packet as much as a match, but only one that has met the conditions before it: most fail these, and
 * nft tests them without xtables.
 */
const rareRule = /^(?:-[io] lo -j|-p (?:icmp|ipv6-icmp) -g) /;

function withComment(rule: string, comment: string): string {
  const at = verdictAt(rule);
  return `${rule.slice(0, at)}-m comment --comment "${comment}" ${rule.slice(at)}`;
}

/** Where `-j` or `-g` begins. */
function verdictAt(rule: string): number {
  const at = Math.max(rule.lastIndexOf("-j "), rule.lastIndexOf("-g "));
  if (at < 0) throw new RangeError(`no verdict in ${rule}`);
  return at;
}

/** Collects chains; equal content becomes one chain. */
export class ChainBook {
  readonly #chains = new Map<string, Chain>();

  /** A chain with a fixed name. */
  fixed(name: string, rules: readonly string[]): string {
    this.#chains.set(name, sealChain(name, rules));
    return name;
  }

  /** A chain named by its content, so that an unchanged one is never written again. */
  content(rules: readonly string[]): string {
    const chain = sealChain(null, rules);
    this.#chains.set(chain.name, chain);
    return chain.name;
  }

  chains(): readonly Chain[] {
    return [...this.#chains.values()];
  }
}
