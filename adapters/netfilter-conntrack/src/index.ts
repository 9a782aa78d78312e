export {
  Conntrack,
  type ConntrackOptions,
  type DumpOptions,
  type EventKind,
  type EventListener,
  type EventSubscription,
} from "./conntrack.js";
export { copyEntry, type Entry, type EntryCounters, type EntryTcp, type EntryTuple } from "./entry.js";
export type { EntryOperation, MarkChange, NewEntry } from "./entry-change.js";
export { type EntryKey, entryKey, type TupleInput } from "./entry-key.js";
export { EntryParser } from "./entry-parser.js";
export { type DumpFilter, EntryWriter } from "./entry-writer.js";
export { status } from "./status.js";
export { liberalTracking, pickedUp, tcpFlag, tcpState } from "./tcp-tracking.js";
