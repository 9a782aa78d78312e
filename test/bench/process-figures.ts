import { readFile } from "node:fs/promises";

/** USER_HZ, a constant of the kernel's interface to programs (proc(5)). */
export const ticksPerSecond = 100;

/** A figure of proc_pid_status(5), in KiB. */
export async function statusKiB(pid: number, field: "VmHWM" | "VmRSS"): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, "utf8");
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text);
  if (match?.[1] === undefined) throw new Error(`/proc/${pid}/status has no ${field}`);
  return Number(match[1]);
}

/** User and system time of the process and of its children that ended, in clock ticks. */
export async function cpuTicks(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
}
