import type { TrackedFlow } from "@antenna/sdk";
import { type Entry, status } from "netfilter-conntrack";
import { tcp } from "./tracked-flow.js";
import { flowTupleKey } from "./tuple-key.js";

/**
 * How long a TCP flow stays cut though its entry expired, where its local socket lives on: as long as either side may
 * still send again what was not acknowledged (tcp_retries2, tcp(7): 924.6 s at least, rounded down here to the field's
 * quarter of an hour). Other flows are their entry.
 */
const tcpRetryMs = 15 * 60_000;

/** How long it may have lasted: as long as an unanswered exchange does by default (nf_conntrack_udp_timeout). */
const deletedEntrySeconds = 30;

/** A cut flow, and what is known of its entry. */
export interface KeptCut {
  /** In the direction in which it was judged. */
  readonly flow: TrackedFlow;
  /** Of the flow's tuple; see `flowTupleKey`. */
  readonly key: string;
  readonly keptAtMs: number;
  /** Id of the entry that carries the mark; 0: not known. */
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
  /** Its entry was given a reason for an event. */
  probed: boolean;
  /** When it was first found that no event came for that; null: it was not. */
  silentSinceMs: number | null;
  /** The kernel told the end of the entry; what stands in its place since, if anything does, is not ours. */
  destroyed: boolean;
  /** We put another in its place, and have not read that yet. */
  replaced: boolean;
  /** Id of an entry that we are deleting ourselves, whose end is no news; 0: none. */
  dismissedId: number;
  /** Its entry gave no events, and was replaced by one that might: this is done once. */
  renewed: boolean;
  /**
   * We are writing the mark, of which the kernel tells too. Until then, and not longer than this, what it tells of an
   * entry without the mark is from before.
   */
  echoDueMs: number;
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

/** What is read of an entry. */
type EntryFacts = Pick<Entry, "id" | "status" | "mark" | "tcp" | "timeout">;

/** What can be said of an entry that was deleted before it was read. */
export function deletedEntry(flow: TrackedFlow): EntryFacts {
  return { id: flow.id, status: status.seenReply, mark: 0, tcp: null, timeout: deletedEntrySeconds };
}

export function keepCut(flow: TrackedFlow, entry: EntryFacts, nowMs: number): KeptCut {
  const kept: KeptCut = {
    flow,
    key: flowTupleKey(flow),
    keptAtMs: nowMs,
    id: entry.id,
    answerId: null,
    status: 0,
    mark: 0,
    tcpState: null,
    expiresAtMs: 0,
    keepUntilMs: flow.protocol === tcp ? nowMs + tcpRetryMs : nowMs,
    heard: false,
    probed: false,
    silentSinceMs: null,
    destroyed: false,
    replaced: false,
    dismissedId: 0,
    renewed: false,
    echoDueMs: Number.NEGATIVE_INFINITY,
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
export function observe(kept: KeptCut, entry: EntryFacts, nowMs: number): void {
  if (kept.destroyed || (kept.id !== entry.id && !kept.replaced)) unheard(kept);
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

/** Nothing is known yet of the events of the entry. */
function unheard(kept: KeptCut): void {
  kept.heard = false;
  kept.probed = false;
  kept.silentSinceMs = null;
}

/** We are about to put another entry in the place of the flow's own. Its id is not known yet. */
export function expectReplacement(kept: KeptCut): void {
  unheard(kept);
  kept.id = 0;
  kept.answerId = null;
  kept.destroyed = false;
  kept.replaced = true;
}

/** It turned out not to be gone; id 0: it was one of ours that has not been read yet. */
export function expectSame(kept: KeptCut, id: number): void {
  kept.id = id;
  kept.replaced = id === 0;
}

/** Something else was quicker than the replacement. */
export function expectOther(kept: KeptCut): void {
  kept.destroyed = true;
  kept.replaced = false;
}

/**
 * Whether this is another entry than the one that was seen before. An id alone does not tell: it is a hash over the tuple
 * and the entry's place in memory, which is given again at once (seen on 6.18). An entry never loses the bit that says
 * that it was answered.
 */
export function isOther(kept: KeptCut, entry: Pick<Entry, "id" | "status">): boolean {
  if (kept.replaced) return false;
  if (kept.destroyed || entry.id !== kept.id) return true;
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
