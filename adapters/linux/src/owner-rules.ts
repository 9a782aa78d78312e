import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { AntennaError } from "@antenna/sdk";

const run = promisify(execFile);
const folders = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin"];
/** A table of 100,000 rules is about 10 MiB. */
const mostBytes = 64 * 1024 * 1024;

/** One rule of somebody else's, as the `-save` programs print it. */
export interface OwnerRule {
  readonly program: "iptables" | "ip6tables";
  readonly backend: "nft" | "legacy";
  readonly table: string;
  readonly chain: string;
  /** 1 for the first rule of its chain, ours not counted. */
  readonly position: number;
  /** `-A INPUT -p tcp -j ACCEPT` */
  readonly text: string;
}

/** Who else wrote what, as far as this process may know. */
export interface OwnerRules {
  readonly rules: readonly OwnerRule[];
  /** Programs whose tables may hold more, which only uid 0 may read; as a rule none. */
  readonly unread: readonly string[];
}

/**
 * The rules that are not ours, of every iptables table that is there; for telling people, never for deciding what to
 * write. A table that does not exist is not made by looking: iptables-legacy is asked only for tables that
 * /proc/net/ip_tables_names lists already. Rejects with `unsupported` or `kernel-refused`.
 */
export async function ownerRules(namespace: string | null): Promise<OwnerRules> {
  const rules: OwnerRule[] = [];
  const unread: string[] = [];
  for (const program of ["iptables", "ip6tables"] as const) {
    const nft = find(`${program}-nft-save`);
    if (nft !== null) rules.push(...parse(await inside(namespace, nft, []), program, "nft"));
    const legacy = find(`${program}-legacy-save`);
    if (legacy === null) continue;
    const tables = await legacyTables(namespace, program);
    if (tables === null) unread.push(`${program}-legacy`);
    for (const table of tables ?? []) {
      rules.push(...parse(await inside(namespace, legacy, ["-t", table]), program, "legacy"));
    }
  }
  return { rules, unread };
}

/** null: there may be tables, and this process may not see which. */
async function legacyTables(
  namespace: string | null,
  program: OwnerRule["program"],
): Promise<readonly string[] | null> {
  const file = `/proc/self/net/${program === "iptables" ? "ip_tables_names" : "ip6_tables_names"}`;
  // It is in every namespace or in none, and for the same user in all of them.
  if (isForbidden(file)) return null;
  const names =
    namespace === null
      ? await readFile(file, "latin1").catch(() => "")
      : await inside(namespace, need("cat"), [file]).catch(() => "");
  return names.split("\n").filter((table) => /^\w+$/.test(table));
}

function isForbidden(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return false;
  } catch (reason) {
    return reason instanceof Error && "code" in reason && reason.code === "EACCES";
  }
}

/** Exported for tests. */
export function parse(
  text: string,
  program: OwnerRule["program"],
  backend: OwnerRule["backend"],
): readonly OwnerRule[] {
  const rules: OwnerRule[] = [];
  const positions = new Map<string, number>();
  let table = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) {
      table = line.slice(1);
      positions.clear();
    }
    const chain = /^-A (\S+)/.exec(line)?.[1];
    if (chain === undefined || isOurs(chain, line)) continue;
    const position = (positions.get(chain) ?? 0) + 1;
    positions.set(chain, position);
    rules.push({ program, backend, table, chain, position, text: line });
  }
  return rules;
}

function isOurs(chain: string, line: string): boolean {
  return /^ANT-/.test(chain) || /^-A (?:INPUT|OUTPUT) -j ANT-(?:IN|OUT)$/.test(line);
}

async function inside(namespace: string | null, file: string, args: readonly string[]): Promise<string> {
  const [program, argv] =
    namespace === null ? [file, args] : [need("nsenter"), [`--net=${namespace}`, "--", file, ...args]];
  try {
    const { stdout } = await run(program, [...argv], {
      timeout: 10_000,
      maxBuffer: mostBytes,
      encoding: "latin1",
      env: { LC_ALL: "C" },
    });
    return stdout;
  } catch (cause) {
    const words = cause instanceof Error && "stderr" in cause ? String(cause.stderr).trim() : "";
    const detail = words === "" ? String(cause) : words;
    const message = `the owner's rules can't be read (${detail})`;
    throw new AntennaError({ code: "kernel-refused", operation: `run ${file}`, message, detail, cause });
  }
}

function find(name: string): string | null {
  return folders.map((folder) => `${folder}/${name}`).find(isExecutable) ?? null;
}

function need(name: string): string {
  const file = find(name);
  if (file !== null) return file;
  throw new AntennaError({
    code: "unsupported",
    operation: `find ${name}`,
    message: `${name} is not installed; install the package util-linux`,
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
