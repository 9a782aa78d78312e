import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { AntennaError, type ConnectionTable, type Logger, type Removal, systemClock } from "@antenna/sdk";
import type { Configuration } from "../config/keys.js";
import { demandCapabilities, neededCapabilities } from "./capabilities.js";
import { claimNamespace, lockStateDir } from "./exclusive.js";
import { platform } from "./platform.js";
import { emptyStateDir } from "./state-dir.js";

/** Takes everything of ours out of the kernel and the state directory, while no daemon runs on it. */
export async function purgeWithoutDaemon(values: Configuration, signal: AbortSignal): Promise<Removal> {
  const { stateDir, namespace } = values;
  await demandCapabilities("purge", neededCapabilities(namespace));
  const known = await readdir(stateDir).catch((reason: unknown) => {
    if (reason instanceof Error && "code" in reason && reason.code === "ENOENT") return null;
    throw AntennaError.from(reason, `read ${stateDir}`);
  });
  const lock = known === null ? null : await lockStateDir(stateDir);
  try {
    const advice = "name that daemon's --state-dir, so that it does it and stops";
    using _claim = await claimNamespace(namespace, "purge", advice);
    const removal = await emptyKernel(values, known !== null, signal);
    if (known !== null) await emptyStateDir(stateDir);
    return removal;
  } finally {
    await lock?.release();
  }
}

async function emptyKernel(values: Configuration, ranHere: boolean, signal: AbortSignal): Promise<Removal> {
  const { packetFilter } = (await platform()).ports;
  await using filter = await packetFilter.open({
    namespace: values.namespace,
    stateDir: join(values.stateDir, "filter"),
    cutMark: values["kernel.cutMark"],
    nflogGroup: values["kernel.nflogGroup"],
    nflogRate: values["kernel.nflogRate"],
    clock: systemClock,
    logger: silent,
    signal,
  });
  const removal = await filter.remove({ signal });
  // Where nothing tells that we were here, the bit may be somebody else's.
  if (!ranHere && removal.removed.length === 0) return removal;
  try {
    await restoreCutFlows(filter.connections, signal);
    return removal;
  } catch (reason) {
    if (signal.aborted) throw reason;
    const { message } = AntennaError.from(reason, "take the cut mark off flows");
    const residue = { kind: "cut-mark", name: "connections that were cut", reason: message };
    return { ...removal, residues: [...removal.residues, residue] };
  }
}

/** With the rules gone the mark stops nobody, but it stays on the connection, where others may look. */
async function restoreCutFlows(connections: ConnectionTable, signal: AbortSignal): Promise<void> {
  for await (const batch of connections.dump({ signal })) {
    await connections.restore(
      batch.filter((flow) => flow.cut),
      { signal },
    );
  }
}

/** The command line has no log; what matters comes back as a result or an error. */
const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
