import { resolve } from "node:path";
import { type Command, configOption, type Invocation, stateDirOption } from "../command.js";
import type { Configuration } from "../config/keys.js";
import { keys } from "../config/keys.js";
import { type LoadedConfiguration, loadConfiguration } from "../config/read.js";
import { parseDuration } from "../duration.js";
import { exitCode, UsageError } from "../exit-code.js";
import { packageVersion } from "../package-version.js";
import { Daemon } from "../run/daemon.js";
import { type Log, openLog } from "../run/log.js";

export const run: Command = {
  name: "run",
  summary: "the daemon, in the foreground (`antennad` is the same)",
  about: `Enforces the policy of a file, and applies it again whenever the file changes. A file that is bad or missing
changes nothing: the last known good policy stays in force, and \`antenna status\` says why. SIGTERM stops the daemon and
leaves the rules; SIGHUP reads configuration, policy and resolvers again. READY=1 goes to NOTIFY_SOCKET when the policy
is first in force. A flag beats the environment (ANTENNA_STATE_DIR, ANTENNA_SETTLE, …), which beats the configuration.`,
  options: {
    config: configOption,
    policy: { type: "string", value: "FILE", about: "the policy to enforce" },
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
  return await loadConfiguration({
    file: invocation.text("config"),
    flags: flagsOf(invocation),
    environment: invocation.environment,
  });
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
