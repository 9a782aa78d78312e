import type { Family, RuleProgram } from "@antenna/sdk";
import type { ChainBook } from "./chain.js";
import { type LogSource, logPrefix } from "./log-prefix.js";

export interface RenderOptions {
  /** One bit of the connection mark. */
  readonly cutMark: number;
  readonly nflogGroup: number;
  /** NFLOG packets a second and rule. */
  readonly nflogRate: number;
}

/** The chain that tells of a denial and does it: NFLOG, then DROP, REJECT, or RETURN where nothing is dropped. */
export function denialChain(
  book: ChainBook,
  family: Family,
  program: RuleProgram,
  options: RenderOptions,
  source: LogSource,
): string {
  // Cut flows, secure guards, invalid and untracked packets are dropped in silence.
  const rejects = program.reject && source.kind !== "secure";
  return book.content([logRule(source, options), ...refusal(family, program.drops, rejects)]);
}

export function logRule(source: LogSource, options: RenderOptions): string {
  const { nflogRate, nflogGroup } = options;
  const limit = `-m limit --limit ${nflogRate}/sec --limit-burst ${nflogRate}`;
  return `${limit} -j NFLOG --nflog-prefix "${logPrefix(source)}" --nflog-group ${nflogGroup}`;
}

export function refusal(family: Family, drops: boolean, rejects: boolean): readonly string[] {
  if (!drops) return ["-j RETURN"];
  if (!rejects) return ["-j DROP"];
  const unreachable = family === 4 ? "icmp-port-unreachable" : "icmp6-port-unreachable";
  return [
    "-m conntrack --ctstate INVALID,UNTRACKED -j DROP",
    "-p tcp -j REJECT --reject-with tcp-reset",
    `-j REJECT --reject-with ${unreachable}`,
  ];
}

/** What becomes of an allowed packet. */
export function allowVerdict(program: RuleProgram): string {
  return program.onAllow === "accept" ? "-j ACCEPT" : "-j RETURN";
}
