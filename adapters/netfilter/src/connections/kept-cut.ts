import type { TrackedFlow } from "@antenna/sdk";
import { type Entry, status } from "netfilter-conntrack";
import { tcp } from "./tracked-flow.js";

/**
 * How long a TCP flow stays cut though its entry expired, where its local socket lives on: as long as either side may
 * still send again what was not acknowledged (tcp_retries2, tcp(7): 924.6 s at least, rounded down here to the field's
 * quarter of an hour). Other flows are their entry.
 */
const tcpRetryMs = 15 * 60_000;

/** A cut flow, and what is known of its entry. */
export interface KeptCut {
  /** In the direction in which it was judged. */
  readonly flow: TrackedFlow;
  /** Id of the entry that carries the mark. */
  id: number;
  /** Id of the entry of the other direction, where there is one for each. */
  answerId: number | null;
  status: number;
  mark: number;
  tcpState: number | null;
  /** The entry does not expire before, by the last reading. */
  expiresAtMs: number;
  /** The flow is not given up before, though its entry has gone. */
  keepUntilMs: number;
  /** Events about this entry reach us; until that is known it is looked at all the time. */
  heard: boolean;
  /** It was given a reason for an event. */
  probed: boolean;
  /** The kernel told the end of the entry. */
  destroyed: boolean;
  /** We put another in its place, and have not read that yet. */
  replaced: boolean;
  /** The entry went away, and no other could be put in its place. */
  absent: boolean;
  /** Its socket was ended: the flow cannot come back. */
  ended: boolean;
  /** When its mark was last found overwritten. */
  overwrittenAtMs: number;
  /** Its entry was replaced by one for each direction (see `sever`): the mark no longer matters. */
  severed: boolean;
  /** When an overwriting was last reported. */
  reportedAtMs: number;
}

export function keepCut(flow: TrackedFlow, entry: Entry, nowMs: number): KeptCut {
  const kept: KeptCut = {
    flow,
    id: entry.id,
    answerId: null,
    status: 0,
    mark: 0,
    tcpState: null,
    expiresAtMs: 0,
    keepUntilMs: flow.protocol === tcp ? nowMs + tcpRetryMs : nowMs,
    heard: false,
    probed: false,
    destroyed: false,
    replaced: false,
    absent: false,
    ended: false,
    overwrittenAtMs: Number.NEGATIVE_INFINITY,
    severed: false,
    reportedAtMs: Number.NEGATIVE_INFINITY,
  };
  observe(kept, entry, nowMs);
  return kept;
}

/** Takes over what was read of the entry. */
export function observe(
  kept: KeptCut,
  entry: Pick<Entry, "id" | "status" | "mark" | "tcp" | "timeout">,
  nowMs: number,
): void {
  if (kept.id !== entry.id || kept.destroyed || kept.replaced) {
    kept.heard = false;
    kept.probed = false;
  }
  kept.id = entry.id;
  kept.status = entry.status;
  kept.mark = entry.mark;
  kept.tcpState = entry.tcp?.state ?? kept.tcpState;
  // Whole seconds, rounded down by the kernel: it never expires earlier.
  if (entry.timeout !== null) kept.expiresAtMs = nowMs + entry.timeout * 1_000;
  kept.destroyed = false;
  kept.replaced = false;
  kept.absent = false;
}

/**
 * Whether this is another entry than the one that was seen before. An id alone does not tell: it is a hash over the tuple
 * and the entry's place in memory, which is given again at once (seen on 6.18). An entry never loses the bit that says
 * that it was answered.
 */
export function isOther(kept: KeptCut, entry: Entry): boolean {
  if (kept.destroyed || kept.replaced || entry.id !== kept.id) return true;
  return (kept.status & ~entry.status & status.seenReply) !== 0;
}

/** The entry went away and cannot be put back: somebody may make it anew by sending, for as long as they might. */
export function lose(kept: KeptCut, nowMs: number): void {
  kept.absent = true;
  kept.expiresAtMs = Math.min(kept.expiresAtMs, nowMs + tcpRetryMs);
}

/** True once nothing is left of the flow that could come back: its entry is gone, by expiry and not by somebody's hand. */
export function isOver(kept: KeptCut, nowMs: number): boolean {
  if (nowMs < kept.expiresAtMs) return false;
  return kept.ended || nowMs >= kept.keepUntilMs;
}
