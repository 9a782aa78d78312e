import { readFile } from "node:fs/promises";
import type { Holder } from "./netlink-error.js";

/** What /proc tells about a process; a process that is gone or hidden keeps its number only. */
export async function describeHolder(pid: number, uid: number | null): Promise<Holder> {
  try {
    const command = (await readFile(`/proc/${pid}/comm`, "utf8")).trim();
    if (uid !== null) return { pid, uid, command };
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    const effective = /^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1];
    return { pid, uid: effective === undefined ? null : Number(effective), command };
  } catch {
    return { pid, uid, command: null };
  }
}

/** `process 4711 (antennad), uid 0`, for messages. */
export function holderText(holder: Holder | null): string {
  if (holder === null || holder.pid === 0) return "a process that is not visible from here";
  const command = holder.command === null ? "" : ` (${holder.command})`;
  const uid = holder.uid === null ? "" : `, uid ${holder.uid}`;
  return `process ${holder.pid}${command}${uid}`;
}
