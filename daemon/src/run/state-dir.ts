import { access, chmod, mkdir, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AntennaError } from "@antenna/sdk";

/** Says that the directory was not there before us. */
const madeMark = "made-by-antenna";

/** What the agent and the daemon keep there; a directory that holds something else as well stays. */
const ours = ["policy", "filter", "identity", "antenna.sock", "lock", madeMark];

/** Bits of inode(7): written to by the group or by everybody. */
const writableByOthers = 0o022;

/**
 * Makes the state directory, and remembers that it did; or takes one that is there and that nobody else can write to:
 * the last known good policy is believed at the next start. Rejects with `storage`, or what the system says.
 */
export async function prepareStateDir(stateDir: string): Promise<void> {
  const made = await mkdir(stateDir, { recursive: true, mode: 0o700 });
  if (made !== undefined) await writeFile(join(stateDir, madeMark), "", { mode: 0o600 });
  const { mode, uid } = await stat(stateDir);
  const own = process.geteuid?.() ?? uid;
  if (uid !== own) {
    const advice = `give it to uid ${own} (chown) once you know what is in it`;
    throw untrusted(stateDir, { mode, uid }, `not to uid ${own}, which runs this daemon`, advice);
  }
  if ((mode & writableByOthers) !== 0) {
    const advice = "take that away (chmod 0700) once you know what is in it";
    throw untrusted(stateDir, { mode, uid }, "and its group or everybody may write to it", advice);
  }
  // The policy and the control socket are nobody else's business, whoever made the directory.
  if ((mode & 0o077) !== 0) await chmod(stateDir, 0o700);
}

/** Private key, certificates and all. */
export async function removeIdentity(stateDir: string): Promise<void> {
  await rm(join(stateDir, "identity"), { recursive: true, force: true });
}

/** Under the lock of the directory: nobody else is in it. One that was there before us stays. */
export async function emptyStateDir(stateDir: string): Promise<void> {
  const isMade = await access(join(stateDir, madeMark)).then(
    () => true,
    () => false,
  );
  for (const name of ours) await rm(join(stateDir, name), { recursive: true, force: true });
  if (isMade) await rmdir(stateDir).catch(() => undefined);
}

function untrusted(
  stateDir: string,
  { mode, uid }: { readonly mode: number; readonly uid: number },
  fault: string,
  advice: string,
): AntennaError {
  const found = `it belongs to uid ${uid} with mode 0${(mode & 0o7777).toString(8)}`;
  return new AntennaError({
    code: "storage",
    operation: `use ${stateDir}`,
    message: `${found}, ${fault}: others could change what is enforced at the next start; ${advice}, or name another directory with --state-dir`,
  });
}
