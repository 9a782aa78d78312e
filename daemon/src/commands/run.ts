import { resolve } from "node:path";
import { PairingKey } from "@antenna/sdk";
import {
  type Command,
  exitCode,
  type Invocation,
  parseDuration,
  UsageError,
} from "@antenna/sdk/command-line";
import type { Configuration } from "../config/keys.js";
import { keys } from "../config/keys.js";
import { type LoadedConfiguration, loadConfiguration } from "../config/read.js";
import {
  configOption,
  controllerOption,
  flaggedController,
  keyFileOption,
  stateDirOption,
} from "../options.js";
import { packageVersion } from "../package-version.js";
import { Daemon } from "../run/daemon.js";
import { type Log, openLog } from "../run/log.js";
import { pairingKeyVariable, readKeyFile } from "../run/pairing-key.js";

export const run: Command = {
  name: "run",
  summary: "the daemon, in the foreground (`antennad` is the same)",
  about: `Enforces the policy of a controller, or of a file. With --controller, the controller tells what this host may do and
is told who it is; a host that is not paired yet pairs first, if a pairing key is at hand (--key-file, or
${pairingKeyVariable}), for as long as it takes, and enforces the last known good policy meanwhile, as it does whenever
the controller is away. With --policy, a file is applied, and applied again whenever it changes; one that is bad or missing
changes nothing, and \`antenna status\` says why. SIGTERM stops the daemon and
leaves the rules; SIGHUP reads configuration, policy and resolvers again. READY=1 goes to NOTIFY_SOCKET when the policy
is first in force. A flag beats the environment (ANTENNA_STATE_DIR, ANTENNA_SETTLE, …), which beats the configuration.`,
  options: {
    config: configOption,
    policy: { type: "string", value: "FILE", about: "the policy to enforce, where there is no controller" },
    controller: controllerOption,
    "key-file": keyFileOption,
    "state-dir": stateDirOption,
    settle: {
      type: "string",
      value: "DURATION",
      about: "how long tracking settles on a live host (default 30s)",
    },
    namespace: {
      type: "string",
      value: "PATH",
      about: "network namespace to enforce in (default: the own one)",
    },
    "purge-on-exit": { type: "boolean", about: "take everything out again at the end; for tests and labs" },
  },
  positionals: [],
  examples: [
    ["antenna run --policy /etc/antenna/policy.yaml", "enforce this policy on this host"],
    [
      "antenna run --controller controller.example:8443 --key-file /run/pairing.key",
      "pair once, and enforce what the controller says",
    ],
    [
      "antenna run --policy web1.yaml --namespace /run/netns/web1 --state-dir /run/antenna-web1",
      "in another namespace",
    ],
    [
      "antenna run --policy p.yaml --state-dir /tmp/try --settle 0s --purge-on-exit",
      "try one out, leave nothing behind",
    ],
  ],
  run: async (invocation) => {
    const configuration = await load(invocation);
    const log = openLog(configuration.values["log.level"]);
    try {
      return await runDaemon(invocation, configuration, log);
    } finally {
      log.flush();
    }
  },
};

/** SIGTERM stops within 5 s, whatever hangs; taking the rules out may take longer. */
const stopMs = 4_500;
const purgeMs = 60_000;

async function runDaemon(
  invocation: Invocation,
  configuration: LoadedConfiguration,
  log: Log,
): Promise<number> {
  // Whatever the daemon makes is its own business.
  process.umask(0o077);
  warnAboutIgnored(configuration, log);
  const stopping = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    log.info({ signal }, "stopping");
    stopping.abort();
  };
  // Listened to before anything is opened: a signal in the middle of the start closes it in order.
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  let daemon: Daemon | null = null;
  process.on("SIGHUP", () => {
    log.info({}, "reloading");
    void daemon?.reload();
  });
  const version = await packageVersion();
  log.info({ version, stateDir: configuration.values.stateDir, config: configuration.file }, "starting");
  daemon = await Daemon.start({
    values: configuration.values,
    readConfiguration: async () => (await load(invocation)).values,
    environment: invocation.environment,
    pairingKey: () => pairingKey(invocation),
    version,
    log,
    onPurged: () => stopping.abort(),
  });
  await aborted(stopping.signal);
  const purging = invocation.has("purge-on-exit");
  const deadline = setTimeout(
    () => {
      log.error({}, "stopping took too long; the rules stay in the kernel");
      log.flush();
      process.exit(exitCode.failed);
    },
    purging ? purgeMs : stopMs,
  ).unref();
  try {
    if (purging) await daemon.purge();
  } finally {
    await daemon.close();
    clearTimeout(deadline);
  }
  log.info({}, "stopped");
  return exitCode.done;
}

async function load(invocation: Invocation): Promise<LoadedConfiguration> {
  const loaded = await loadConfiguration({
    file: invocation.text("config"),
    flags: flagsOf(invocation),
    environment: invocation.environment,
  });
  const { policy, controller, namespace } = loaded.values;
  if (policy !== null && controller !== null)
    throw new UsageError(
      `one of them decides: the policy file ${policy} or the controller ${controller}; take the other one out of the command line, the environment or the configuration`,
    );
  if (namespace !== null && loaded.values["commitConfirm.canaries"].length > 0)
    throw new UsageError(
      "commitConfirm.canaries are tried from the daemon's own network namespace: start it inside the other one instead of naming it",
    );
  return loaded;
}

/** From the file, else from the environment; null: neither. Rejects with `input-refused` when it is no key. */
async function pairingKey(invocation: Invocation): Promise<string | null> {
  const file = invocation.text("key-file");
  const text = file === null ? invocation.environment[pairingKeyVariable] : await readKeyFile(file);
  if (text === undefined || text.trim() === "") return null;
  return PairingKey.parse(text).format();
}

function flagsOf(invocation: Invocation): Partial<Configuration> {
  const [stateDir, policy, namespace] = ["state-dir", "policy", "namespace"].map((name) => {
    const given = invocation.text(name);
    return given === null ? undefined : resolve(given);
  });
  return {
    ...(stateDir === undefined ? {} : { stateDir }),
    ...(policy === undefined ? {} : { policy }),
    ...(namespace === undefined ? {} : { namespace }),
    ...flaggedController(invocation),
    ...settleOf(invocation),
  };
}

function settleOf(invocation: Invocation): Partial<Configuration> {
  const text = invocation.text("settle");
  if (text === null) return {};
  const settle = parseDuration(text);
  if (settle === null)
    throw new UsageError(`--settle ${JSON.stringify(text)} is not a duration like 500ms, 15s, 24h or 7d`);
  return { settle };
}

/** A key that is set and obeyed by nothing yet must not look as if it worked. */
function warnAboutIgnored({ given, values }: LoadedConfiguration, log: Log): void {
  const ignored = [...given].filter((name) => !keys[name].obeyed && values[name] !== keys[name].initial);
  if (ignored.length > 0) log.warn({ keys: ignored }, "these keys have no effect in this version");
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((done) => signal.addEventListener("abort", () => done(), { once: true }));
}
