import type { Direction, Family, Installed, StageProgram } from "@antenna/sdk";
import { ChainBook, jumps, type Ruleset } from "./chain.js";
import { essentialConditions } from "./essential-conditions.js";
import { guardRules } from "./guard-rules.js";
import { type StageContext, stageRules } from "./stage-rules.js";
import { allowVerdict, type RenderOptions } from "./verdict-chains.js";

/**
 * A program as rules of the filter table of one family, in the words of iptables-save. Pure: equal input, equal text.
 * Order and meaning: `docs/decisions/rendering.md`.
 *
 * @throws AntennaError `internal` when the program names a set without an instance.
 */
export function renderRules(installed: Installed, family: Family, options: RenderOptions): Ruleset {
  const book = new ChainBook();
  for (const direction of ["in", "out"] as const)
    renderDirection(book, installed, family, direction, options);
  return { family, chains: book.chains(), jumps };
}

function renderDirection(
  book: ChainBook,
  installed: Installed,
  family: Family,
  direction: Direction,
  options: RenderOptions,
): void {
  const { program } = installed;
  const { guards, stages } = program.directions[direction];
  const entry = direction === "in" ? "ANT-IN" : "ANT-OUT";
  const allow = allowVerdict(program);
  const context = (miss: string) => ({ book, family, direction, installed, options, miss });

  // From the last chain to the first: each says where the one before it goes on.
  let miss = allow;
  for (const stage of [...stages].reverse()) {
    const chain = `${entry}-${stageNames[stage.stage]}`;
    book.fixed(chain, stageRules(stage, context(miss)));
    miss = `-g ${chain}`;
  }

  const view = { direction, of: "original" } as const;
  const allowances = [
    ...relatedConditions(family, direction),
    ...program.essentials.flatMap((essential) => essentialConditions(essential, installed, family, view)),
  ];
  const state = [
    `-m conntrack --ctstate ESTABLISHED ${allow}`,
    ...allowanceRules(allowances, allow, context(miss)),
  ];
  const cutMark = `0x${options.cutMark.toString(16)}`;
  const first = [
    `${direction === "in" ? "-i" : "-o"} lo ${allow}`,
    ...(program.drops ? [`-m connmark --mark ${cutMark}/${cutMark} -j DROP`] : []),
  ];
  if (guards.length === 0) {
    book.fixed(entry, [...first, ...state]);
    return;
  }

  book.fixed(`${entry}-STATE`, state);
  const onward = `-g ${entry}-STATE`;
  const unprotected = `-m policy --dir ${direction} --pol none `;
  const guarded = (of: "original" | "reply") =>
    guardRules(
      guards.filter((guard) => guard.of === of),
      program.essentials,
      of,
      context(onward),
    );
  const [answers, openings] = [guarded("reply"), guarded("original")];
  const entries: string[] = [];
  if (answers.length > 1) {
    book.fixed(`${entry}-ANSWER`, answers);
    entries.push(`${unprotected}-m conntrack --ctdir REPLY -g ${entry}-ANSWER`);
  }
  if (openings.length > 1) {
    // What is not tracked has no direction, fails the test and is judged as original.
    const replies = answers.length > 1 ? [] : [`-m conntrack --ctdir REPLY ${onward}`];
    book.fixed(`${entry}-GUARD`, [...replies, ...openings]);
    entries.push(`${unprotected}-g ${entry}-GUARD`);
  }
  book.fixed(entry, [...first, ...entries, onward]);
}

/**
 * Rules that allow what meets any of the conditions. Those about ICMP, most of them all in IPv6, get a chain of their
 * own: other new connections pass them with one look.
 */
function allowanceRules(
  conditions: readonly string[],
  allow: string,
  context: StageContext,
): readonly string[] {
  const { book, family, miss } = context;
  const protocol = family === 4 ? "-p icmp " : "-p ipv6-icmp ";
  const aboutIcmp = conditions.filter((condition) => condition.includes(protocol));
  const others = conditions.filter((condition) => !condition.includes(protocol));
  // What names no protocol allows ICMP too.
  const aboutAny = others.filter((condition) => !condition.includes("-p "));
  const allowed = (texts: readonly string[]) => texts.map((text) => text + allow);
  const icmpChain = book.content([...allowed([...aboutIcmp, ...aboutAny]), miss]);
  return [`${protocol}-g ${icmpChain}`, ...allowed(others), miss];
}

const stageNames: Readonly<Record<StageProgram["stage"], string>> = {
  "override-deny": "ODENY",
  allow: "ALLOW",
  deny: "DENY",
  default: "DEFAULT",
};

/**
 * Errors about flows that are tracked, and in OUTPUT the RST of a REJECT, which is RELATED TCP. Never RELATED TCP or
 * UDP as such: a conntrack helper would open ports.
 */
function relatedConditions(family: Family, direction: Direction): readonly string[] {
  const related = "-m conntrack --ctstate RELATED ";
  const errors =
    family === 4
      ? [3, 11, 12].map((type) => `-p icmp -m icmp --icmp-type ${type} ${related}`)
      : [1, 2, 3, 4].map((type) => `-p ipv6-icmp -m icmp6 --icmpv6-type ${type} ${related}`);
  if (direction === "in") return errors;
  // Flags are read where no TCP header is by iptables-nft, in later fragments; any port holds only where one is.
  const header = "-m multiport --sports 0:65535 ";
  return [...errors, `-p tcp ${related}${header}-m tcp --tcp-flags FIN,SYN,RST RST `];
}
