import { readFile } from "node:fs/promises";

/** Names of accounts by uid, from /etc/passwd; accounts that only a directory service knows stay numbers. */
export async function readAccounts(file = "/etc/passwd"): Promise<ReadonlyMap<number, string>> {
  const text = await readFile(file, "utf8").catch(() => "");
  const names = new Map<number, string>();
  for (const line of text.split("\n")) {
    const [name, , uid] = line.split(":");
    if (name === undefined || name === "" || uid === undefined || !/^\d+$/.test(uid)) continue;
    // The first of several names of one account counts, as for getpwuid(3).
    if (!names.has(Number(uid))) names.set(Number(uid), name);
  }
  return names;
}
