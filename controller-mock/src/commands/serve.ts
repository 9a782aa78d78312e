import { networkInterfaces } from "node:os";
import { systemClock } from "@antenna/sdk";
import { type Command, exitCode, type Invocation, UsageError } from "@antenna/sdk/command-line";
import { ControlServer } from "@antenna/sdk/control-socket";
import { dataDirOption, findDataDir, socketPath } from "../locate.js";
import { openLog } from "../log.js";
import { packageVersion } from "../package-version.js";
import { DataDirectory } from "../store/data-directory.js";

/** Operators at the same time. */
const maxClients = 32;

export const serve: Command = {
  name: "serve",
  summary: "the controller, in the foreground",
  about: `Serves agents over gRPC with mutual TLS, and the other commands over a socket in the data directory. A first start makes
the directory (mode 0700), the certificate authority and an empty database. Its certificate always carries the name
\`antenna-controller\`, which agents expect under the root that their pairing key names, so that agents may dial an address. SIGTERM stops
it; agents go on enforcing what they have.`,
  options: {
    listen: { type: "string", value: "HOST:PORT", about: "address and port for agents; [::1]:8443 for IPv6" },
    name: { type: "string", value: "DNS", repeats: true, about: "a further name in its certificate" },
    "data-dir": dataDirOption,
  },
  positionals: [],
  examples: [
    ["antenna-controller serve --listen 0.0.0.0:8443", "serve the fleet"],
    ["antenna-controller serve --listen 127.0.0.1:8443 --data-dir /tmp/try", "try it out"],
  ],
  run: async (invocation) => {
    const { host, port } = readListen(invocation.text("listen"));
    const dataDir = findDataDir(invocation);
    const log = openLog();
    const version = await packageVersion();
    const failed = new AbortController();
    // gRPC is read while the database opens, in a thread of its own.
    const parts = loadParts();
    parts.catch(() => undefined);
    const directory = await DataDirectory.open(dataDir);
    try {
      const { Controller, controlHandler } = await parts;
      await using controller = await Controller.start({
        store: directory.store,
        files: directory.trust,
        listen: { host, port, names: invocation.texts("name") },
        hostAddresses: ownAddresses(host),
        clock: systemClock,
        logger: log,
        onFailure: (reason) => {
          log.error({ err: reason }, "what happened could not be stored; stopping, agents go on enforcing");
          failed.abort();
        },
      });
      await using _socket = await ControlServer.listen({
        path: socketPath(dataDir),
        handler: controlHandler(controller),
        logger: log,
        maxClients,
        patienceMs: 24 * 3_600_000,
      });
      log.info({ version, listen: `${host}:${controller.port}`, dataDir }, "serving");
      await firstOf(invocation, failed.signal);
      log.info({}, "stopping");
    } finally {
      await directory[Symbol.asyncDispose]();
    }
    return failed.signal.aborted ? exitCode.failed : exitCode.done;
  },
};

async function loadParts() {
  const [{ Controller }, { controlHandler }] = await Promise.all([
    import("../fleet/controller.js"),
    import("../api/control-handler.js"),
  ]);
  return { Controller, controlHandler };
}

function readListen(given: string | null): { readonly host: string; readonly port: number } {
  if (given === null) throw new UsageError("--listen HOST:PORT is missing");
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(given);
  const port = Number(found?.[3] ?? -1);
  const host = found?.[1] ?? found?.[2];
  if (host === undefined || port > 65_535 || port < 0)
    throw new UsageError(
      `--listen ${JSON.stringify(given)} is not HOST:PORT, like 0.0.0.0:8443 or [::]:8443`,
    );
  return { host, port };
}

/** Where agents may reach this port: all of the host's addresses, whichever it listens on. */
function ownAddresses(host: string): readonly string[] {
  const found = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const routable = found.filter(({ internal, address }) => !internal && !address.startsWith("fe80:"));
  const named = /^[\d.]+$|:/.test(host) && host !== "0.0.0.0" && host !== "::" ? [host] : [];
  return [...new Set([...routable.map(({ address }) => address), ...named])];
}

async function firstOf(invocation: Invocation, failed: AbortSignal): Promise<void> {
  // Keeps the process, whatever else does.
  const awake = setInterval(() => undefined, 2 ** 31 - 1);
  try {
    await new Promise<void>((resolve) => {
      for (const signal of [invocation.signal, failed]) {
        if (signal.aborted) resolve();
        signal.addEventListener("abort", () => resolve(), { once: true });
      }
    });
  } finally {
    clearInterval(awake);
  }
}
