import { readdir, readFile, readlink } from "node:fs/promises";

/**
 * Command names of the processes that hold these sockets, by the inode of the socket: one pass over /proc that ends as
 * soon as all are found. A socket shared by several processes is told by the lowest pid, which opened it as a rule. What
 * may not be looked into (no CAP_SYS_PTRACE) or ended meanwhile is left out.
 */
export async function findSocketOwners(inodes: ReadonlySet<number>): Promise<ReadonlyMap<number, string>> {
  const owners = new Map<number, string>();
  if (inodes.size === 0) return owners;
  const entries = await readdir("/proc").catch((): string[] => []);
  const pids = entries.filter((name) => /^\d+$/.test(name)).sort((a, b) => Number(a) - Number(b));
  for (const pid of pids) {
    const held = await socketsOf(pid, inodes);
    const fresh = held.filter((inode) => !owners.has(inode));
    if (fresh.length === 0) continue;
    const name = (await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")).trim();
    if (name === "") continue;
    for (const inode of fresh) owners.set(inode, name);
    if (owners.size === inodes.size) break;
  }
  return owners;
}

async function socketsOf(pid: string, inodes: ReadonlySet<number>): Promise<readonly number[]> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder).catch((): string[] => []);
  const found: number[] = [];
  for (const name of names) {
    const target = await readlink(`${folder}/${name}`).catch(() => "");
    const inode = Number(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? 0);
    if (inodes.has(inode)) found.push(inode);
  }
  return found;
}
