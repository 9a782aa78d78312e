import { AntennaError } from "@antenna/sdk";
import type { Configuration } from "../config/keys.js";
import type { CheckItem } from "../documents.js";
import type { OwnerRule, Platform } from "../run/platform.js";

/** Other agents that keep their own jump in front, by the names of their chains. */
const rivals: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/^cali-/, "Calico"],
  [/^CILIUM_/, "Cilium"],
  [/^KUBE-ROUTER/, "kube-router"],
  [/^WEAVE-/, "Weave Net"],
  [/^ILO-|^Illumio/i, "Illumio"],
  [/^GC-|guardicore/i, "Guardicore"],
];

/** What the owner's rules mean for ours. Reading them needs the same privileges as writing. */
export async function checkOwnerRules(
  platform: Platform,
  values: Configuration,
): Promise<readonly CheckItem[]> {
  try {
    const { rules, unread } = await platform.ownerRules(values.namespace);
    const bit = values["kernel.cutMark"];
    const items = [judgeMark(platform.markUsers(rules, bit), bit), judgeRivals(rules)];
    return unread.length === 0 ? items : [...items.map(asFarAsRead), unreadRules(unread)];
  } catch (reason) {
    const { message } = AntennaError.from(reason, "read the owner's rules");
    return [{ name: "owner's rules", state: "yellow", found: null, advice: message }];
  }
}

/** What was not found may stand where we may not look. */
function asFarAsRead(item: CheckItem): CheckItem {
  if (item.state !== "green") return item;
  const advice = "some rules could not be read, see owner's rules";
  return { ...item, state: "yellow", found: `${item.found} in what can be read`, advice };
}

function unreadRules(programs: readonly string[]): CheckItem {
  const advice = "only uid 0 may read which tables it has; run this check as root to be sure";
  return { name: "owner's rules", state: "yellow", found: `${programs.join(" and ")} not known`, advice };
}

function judgeMark(users: readonly OwnerRule[], bit: number): CheckItem {
  const name = "cut mark";
  const mark = `0x${bit.toString(16)}`;
  const [user] = users;
  if (user === undefined) return { name, state: "green", found: `${mark} (free)`, advice: null };
  const advice = `table ${user.table} uses this bit in \`${user.text}\`; set kernel.cutMark to a bit that is free`;
  return { name, state: "red", found: `${mark} (taken)`, advice };
}

function judgeRivals(rules: readonly OwnerRule[]): CheckItem {
  const name = "other agents";
  const found = new Set<string>();
  for (const { chain, text } of rules) {
    if (chain !== "INPUT" && chain !== "OUTPUT") continue;
    const target = / -[jg] (\S+)/.exec(text)?.[1] ?? "";
    for (const [pattern, rival] of rivals) if (pattern.test(target)) found.add(rival);
  }
  if (found.size === 0) return { name, state: "green", found: "none known", advice: null };
  const advice =
    "its jump may be put before ours again and again; Antenna puts its own back thirty times in 30 s, then backs off and reports it";
  return { name, state: "yellow", found: [...found].join(", "), advice };
}
