import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Command, count, exitCode, type Invocation, table } from "@antenna/sdk/command-line";
import { ask, UnansweredError } from "@antenna/sdk/control-socket";
import { loadConfiguration } from "../config/read.js";
import type { PurgeDocument } from "../documents.js";
import { daemonServer, socketPath } from "../locate.js";
import { configOption, jsonOption, stateDirOption } from "../options.js";

export const purge: Command = {
  name: "purge",
  summary: "take everything of Antenna's out of the kernel; needs no daemon",
  about: `Takes every rule, jump and set of Antenna's out of the kernel, the stored policy and the identity out of the state
directory; a directory that was there before stays. The owner's rules are not touched. Works without a daemon; one that runs is asked
to do it, and stops. What can't be undone is listed with its reason.`,
  options: {
    receipt: { type: "boolean", about: "list everything that was removed, and what remains" },
    json: jsonOption,
    namespace: {
      type: "string",
      value: "PATH",
      about: "network namespace, as given to run (default: the own one)",
    },
    "state-dir": stateDirOption,
    config: configOption,
  },
  positionals: [],
  examples: [
    ["antenna purge --receipt", "leave this host as it was, with a list"],
    ["antenna purge --json", "the same list for a script"],
  ],
  run: async (invocation) => {
    const document = await purgeHost(invocation);
    const { terminal } = invocation;
    if (invocation.has("json")) await terminal.out(`${JSON.stringify(document)}\n`);
    else await terminal.out(formatPurge(document, invocation.has("receipt")));
    return exitCode.done;
  },
};

async function purgeHost(invocation: Invocation): Promise<PurgeDocument> {
  const [stateDir, namespace] = ["state-dir", "namespace"].map((name) => {
    const given = invocation.text(name);
    return given === null ? undefined : resolve(given);
  });
  const { values } = await loadConfiguration({
    file: invocation.text("config"),
    flags: {
      ...(stateDir === undefined ? {} : { stateDir }),
      ...(namespace === undefined ? {} : { namespace }),
    },
    environment: invocation.environment,
  });
  const path = socketPath(values.stateDir);
  try {
    const document = (await ask({
      server: daemonServer,
      path,
      method: "purge",
      signal: invocation.signal,
    })) as PurgeDocument;
    await untilGone(path);
    return document;
  } catch (reason) {
    if (!(reason instanceof UnansweredError)) throw reason;
  }
  const { purgeWithoutDaemon } = await import("../run/purge.js");
  return await purgeWithoutDaemon(values, invocation.signal);
}

/** The daemon stops after its answer; whoever starts another one next must not meet it. */
async function untilGone(path: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < 5_000; waitedMs += 50) {
    try {
      await ask({ server: daemonServer, path, method: "status", patienceMs: 1_000 });
    } catch (reason) {
      if (reason instanceof UnansweredError) return;
    }
    await sleep(50);
  }
}

export function formatPurge(document: PurgeDocument, receipt: boolean): string {
  const { removed, residues } = document;
  const remains = residues.map(({ kind, name, reason }) => [kind, name, reason]);
  const parts = [
    removed.length === 0
      ? "nothing of Antenna's was there\n"
      : `removed ${count(removed.length, "object")}\n`,
    receipt && removed.length > 0
      ? table([["REMOVED", "NAME"], ...removed.map(({ kind, name }) => [kind, name])])
      : "",
    remains.length === 0 ? "" : `${count(remains.length, "thing")} can't be undone:\n`,
    remains.length === 0 ? "" : table([["REMAINS", "NAME", "REASON"], ...remains]),
  ];
  return parts.filter((part) => part !== "").join(receipt ? "\n" : "");
}
