import type { CheckItem } from "../documents.js";
import { readNumber } from "./host.js";

const folder = "/proc/sys/net/netfilter";
/** From this part of the table on, in percent, and to this. */
const yellowFrom = 80;
const redFrom = 95;

/** The table that holds every connection: full, it refuses new ones, whoever enforces. */
export async function checkConntrackTable(): Promise<CheckItem> {
  const name = "conntrack table";
  const [entries, limit] = await Promise.all([
    readNumber(`${folder}/nf_conntrack_count`),
    readNumber(`${folder}/nf_conntrack_max`),
  ]);
  if (entries === null || limit === null || limit === 0) {
    return { name, state: "green", found: "not in use yet: loaded when enforcement begins", advice: null };
  }
  const percent = Math.round((100 * entries) / limit);
  const state = percent >= redFrom ? "red" : percent >= yellowFrom ? "yellow" : "green";
  const advice =
    state === "green"
      ? null
      : "the table is nearly full: new connections will be refused; raise net.netfilter.nf_conntrack_max";
  return { name, state, found: `${entries} of ${limit} entries (${percent} %)`, advice };
}

/** What the owner of the host decides, and Antenna never writes: sysctls that visibility depends on. */
export async function checkConntrackSettings(): Promise<readonly CheckItem[]> {
  const [accounting, events] = await Promise.all([
    readNumber(`${folder}/nf_conntrack_acct`),
    readNumber(`${folder}/nf_conntrack_events`),
  ]);
  const items: CheckItem[] = [];
  if (accounting !== null) {
    const advice =
      accounting === 0
        ? "bytes of flows are not counted; set net.netfilter.nf_conntrack_acct=1 to see them"
        : null;
    items.push({
      name: "conntrack accounting",
      state: advice === null ? "green" : "yellow",
      found: String(accounting),
      advice,
    });
  }
  if (events !== null) {
    const advice =
      events === 0 ? "overwritten cut marks are noticed late; set net.netfilter.nf_conntrack_events=2" : null;
    items.push({
      name: "conntrack events",
      state: advice === null ? "green" : "yellow",
      found: String(events),
      advice,
    });
  }
  return items;
}
