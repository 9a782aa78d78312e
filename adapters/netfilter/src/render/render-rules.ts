import type { Direction, Family, Installed, StageProgram } from "@antenna/sdk";
import { ChainBook, jumps, type Ruleset } from "./chain.js";
import { essentialConditions } from "./essential-conditions.js";
import { guardRules } from "./guard-rules.js";
import { notLaterFragment } from "./service-conditions.js";
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
  const { guards } = program.directions[direction];
  const entry = entryNames[direction];
  const allow = allowVerdict(program);
  const context = (miss: string) => ({ book, family, direction, installed, options, miss });

  const judged = judgedRules(context(allow));
  const cutMark = `--mark 0x${options.cutMark.toString(16)}/0x${options.cutMark.toString(16)}`;
  const established = "-m conntrack --ctstate ESTABLISHED ";
  const first = [
    `${direction === "in" ? "-i" : "-o"} lo ${allow}`,
    ...(program.drops ? [`-m connmark ${cutMark} -j DROP`] : []),
  ];
  if (guards.length === 0) {
    // Established and not cut is allowed by whichever of the first steps: most packets meet this one rule.
    const uncut = program.drops ? `-m connmark ! ${cutMark} ` : "";
    book.fixed(
      entry,
      judged === null ? [...first, allow] : [established + uncut + allow, ...first, ...judged],
    );
    return;
  }

  const onward =
    judged === null ? allow : `-g ${book.fixed(`${entry}-STATE`, [established + allow, ...judged])}`;
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
 * Rules for packets that are not established: related, essentials, stages. What only allows may stand in any order, so
 * the allow rules, which a new connection comes for, are asked first where no denial goes before them. null: nothing is
 * denied, so nothing is asked.
 */
function judgedRules(context: StageContext): readonly string[] | null {
  const { book, family, direction, installed, miss: allow } = context;
  const { program } = installed;
  const { stages } = program.directions[direction];
  const firstDenial = stages.findIndex((stage) => stage.action === "deny");
  if (firstDenial < 0) return null;
  const view = { direction, of: "original" } as const;
  const allowances = [
    ...relatedConditions(family, direction),
    ...program.essentials.flatMap((essential) => essentialConditions(essential, installed, family, view)),
  ];
  const denials = stageChains(stages.slice(firstDenial), context);
  const allowed = allowanceRules(allowances, allow, { ...context, miss: denials });
  if (firstDenial === 0) return allowed;
  const essential = book.fixed(`${entryNames[direction]}-ESSENTIAL`, allowed);
  return [stageChains(stages.slice(0, firstDenial), { ...context, miss: `-g ${essential}` })];
}

/** A chain for each stage, from the last to the first: each says where the one before it goes on. Gives the way in. */
function stageChains(stages: readonly StageProgram[], context: StageContext): string {
  let { miss } = context;
  for (const stage of [...stages].reverse()) {
    const chain = `${entryNames[context.direction]}-${stageNames[stage.stage]}`;
    miss = `-g ${context.book.fixed(chain, stageRules(stage, { ...context, miss }))}`;
  }
  return miss;
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

const entryNames: Readonly<Record<Direction, string>> = { in: "ANT-IN", out: "ANT-OUT" };
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
  const reset = "-m tcp --tcp-flags FIN,SYN,RST RST ";
  return [
    ...errors,
    family === 4
      ? `-p tcp ${notLaterFragment}${reset}${related}`
      : `-p tcp ${related}-m multiport --sports 0:65535 ${reset}`,
  ];
}
