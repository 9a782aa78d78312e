import { readFile } from "node:fs/promises";
import { release } from "node:os";

/** Modules that rules and sets like ours can pull in. */
const netfilter =
  /^(?:ip_set|ipt_|ip6t_|xt_|x_tables|ip_tables|ip6_tables|iptable_|ip6table_|nf_|nft_|nfnetlink)/;

/** Loaded netfilter modules by name; none where everything is built in. */
export async function loadedModules(): Promise<readonly string[]> {
  const text = await readOrNull("/proc/modules");
  if (text === null) return [];
  const names = text.split("\n").map((line) => line.split(" ", 1)[0] ?? "");
  return names.filter((name) => netfilter.test(name)).sort();
}

/** False only when asking nf_tables anything would make the kernel load its module, to a host that does not use it. */
export async function canLookAtNft(): Promise<boolean> {
  const modules = await readOrNull("/proc/modules");
  if (modules === null || /^nf_tables /m.test(modules)) return true;
  const builtin = await readOrNull(`/lib/modules/${release()}/modules.builtin`);
  return builtin === null || /\/nf_tables\.ko$/m.test(builtin);
}

async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, "latin1");
  } catch {
    return null;
  }
}
