import { type Address, AddressSet, AntennaError, type Direction, type Family } from "@antenna/sdk";
import { protocolNumberOf } from "../render/protocol-names.js";

/** A new packet as `explain` asks about it: one end and the service are known, the rest is not. */
export interface ForeignQuery {
  readonly direction: Direction;
  readonly family: Family;
  readonly protocol: number;
  /** The other side: source for `in`, destination for `out`. */
  readonly peer: Address;
  /** Destination port; null: the protocol has none. */
  readonly port: number | null;
  readonly icmpType: number | null;
  readonly icmpCode: number | null;
  /** The peer is an own address: the packet passes the loopback interface. Default false. */
  readonly loopback?: boolean;
  /** Our own chain accepts the packet for good: what follows it in its table is not met. Default false. */
  readonly accepted?: boolean;
}

/** Whether a rule matches; `unknown` when that cannot be told from the query or the match is not understood. */
export type Answer = "yes" | "no" | "unknown";

export interface ForeignVerdict {
  readonly answer: Answer;
  /** For `unknown`: the conditions that could not be told. */
  readonly unknown: readonly string[];
  /** `-j` or `-g` and what follows it; null: the rule only counts. */
  readonly target: string | null;
  readonly goto: boolean;
}

/** Judges the words of one saved rule. Every condition that is not understood makes the answer `unknown` at best. */
export function judgeRule(words: readonly string[], query: ForeignQuery): ForeignVerdict {
  const answers: Answer[] = [];
  const unknown: string[] = [];
  for (let at = 0; at < words.length; ) {
    const negated = words[at] === "!";
    const option = words[negated ? at + 1 : at] ?? "";
    at += negated ? 2 : 1;
    if (option === "-j" || option === "-g") {
      return { answer: all(answers), unknown, target: words[at] ?? null, goto: option === "-g" };
    }
    const values: string[] = [];
    for (; at < words.length && !isOption(words[at]); at++) values.push(words[at] ?? "");
    const answer = judgeOption(option, values, query);
    answers.push(negated ? not(answer) : answer);
    if (answer === "unknown") unknown.push([...(negated ? ["!"] : []), option, ...values].join(" "));
  }
  return { answer: all(answers), unknown, target: null, goto: false };
}

function isOption(word: string | undefined): boolean {
  return word === "!" || /^-{1,2}[a-z]/.test(word ?? "");
}

function judgeOption(option: string, values: readonly string[], query: ForeignQuery): Answer {
  const value = values.join(" ");
  switch (option) {
    case "-m":
    case "--comment":
      return "yes";
    case "-p":
      return judgeProtocol(value, query);
    case "-s":
      return query.direction === "in" ? judgeAddress(value, query) : anyone(value);
    case "-d":
      return query.direction === "out" ? judgeAddress(value, query) : anyone(value);
    case "-i":
    case "-o":
      if (query.loopback === true) return value === "lo" ? "yes" : value.endsWith("+") ? "unknown" : "no";
      return value === "lo" ? "no" : "unknown";
    case "--dport":
    case "--dports":
    case "--destination-ports":
      return judgePorts(value, query.port);
    case "--ctstate":
    case "--state":
      return /^(?:[A-Z]+,)*NEW(?:,[A-Z]+)*$/.test(value)
        ? "yes"
        : /^[A-Z]+(?:,[A-Z]+)*$/.test(value)
          ? "no"
          : "unknown";
    case "--icmp-type":
    case "--icmpv6-type":
      return judgeIcmp(value, query);
    case "--dst-type":
      return value === "LOCAL" && query.direction === "in" ? "yes" : "unknown";
    default:
      return "unknown";
  }
}

function judgeProtocol(value: string, query: ForeignQuery): Answer {
  if (value === "all") return "yes";
  const number = protocolNumberOf(value);
  if (number === null) return "unknown";
  return number === query.protocol ? "yes" : "no";
}

function judgeAddress(value: string, query: ForeignQuery): Answer {
  try {
    return AddressSet.from([value]).has(query.peer) ? "yes" : "no";
  } catch (error) {
    // A mask with holes, or host bits set.
    if (error instanceof AntennaError) return "unknown";
    throw error;
  }
}

function anyone(value: string): Answer {
  return value.endsWith("/0") ? "yes" : "unknown";
}

function judgePorts(value: string, port: number | null): Answer {
  if (port === null) return "no";
  for (const part of value.split(",")) {
    const match = /^(\d+)(?::(\d+))?$/.exec(part);
    if (match === null) return "unknown";
    const from = Number(match[1]);
    if (port >= from && port <= Number(match[2] ?? from)) return "yes";
  }
  return "no";
}

function judgeIcmp(value: string, query: ForeignQuery): Answer {
  if (value === "any" || value === "255") return "yes";
  const match = /^(\d+)(?:\/(\d+))?$/.exec(value);
  if (match === null || query.icmpType === null) return "unknown";
  if (Number(match[1]) !== query.icmpType) return "no";
  if (match[2] === undefined) return "yes";
  if (query.icmpCode === null) return "unknown";
  return Number(match[2]) === query.icmpCode ? "yes" : "no";
}

function not(answer: Answer): Answer {
  if (answer === "unknown") return answer;
  return answer === "yes" ? "no" : "yes";
}

/** One `no` settles it, whatever else is unknown. */
function all(answers: readonly Answer[]): Answer {
  if (answers.includes("no")) return "no";
  return answers.includes("unknown") ? "unknown" : "yes";
}
