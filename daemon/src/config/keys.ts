import { allowances, canaries, narrowed } from "./network-value.js";
import {
  absolutePath,
  bool,
  choice,
  duration,
  durationFrom,
  hostPort,
  integer,
  markBit,
  number,
  type ValueKind,
} from "./value.js";

export interface Key<T> {
  readonly kind: ValueKind<T>;
  /** What holds when nobody says anything; null: nothing. */
  readonly initial: T;
  /** The default, as the documentation shows it. */
  readonly shown: string;
  readonly about: string;
  /** False: read and checked, but nothing obeys it yet; the daemon says so when it is set. */
  readonly obeyed: boolean;
}

function key<T>(kind: ValueKind<T>, initial: T, shown: string, about: string): Key<T> {
  return { kind, initial, shown, about, obeyed: true };
}

function optional<T>(kind: ValueKind<T>, about: string): Key<T | null> {
  return { kind, initial: null, shown: "none", about, obeyed: true };
}

function later<T>(given: Key<T>): Key<T> {
  return { ...given, obeyed: false };
}

/** Every key of the configuration. daemon/README.md carries this table; a test compares the two. */
export const keys = {
  stateDir: key<string>(
    absolutePath,
    "/var/lib/antenna",
    "/var/lib/antenna",
    "What survives a restart, and the control socket. Made with mode 0700.",
  ),
  policy: optional(absolutePath, "The policy file to enforce; applied again whenever it changes."),
  controller: optional(
    hostPort,
    "The controller that gives this host its policy; not together with `policy`.",
  ),
  namespace: optional(
    absolutePath,
    "The network namespace to enforce in, like /run/netns/web1; needs SYS_ADMIN. Without: the daemon's own.",
  ),
  settle: key(
    duration,
    30_000,
    "30s",
    "How long tracking settles before dropping begins on a live host. 0s: at once.",
  ),
  onAllow: key(
    choice("return", "accept"),
    "return",
    "return",
    "Allowed packets: return leaves them to the owner's own rules, accept is final.",
  ),
  "essentials.dns": key(
    narrowed,
    true,
    "true",
    "DNS to the upstream resolvers, to these servers only, or not at all.",
  ),
  "essentials.ntp": key(
    narrowed,
    true,
    "true",
    "NTP (UDP 123) to anyone, to these servers only, or not at all.",
  ),
  "essentials.allow": key(allowances, [], "[]", "What always passes, whatever the policy says."),
  "commitConfirm.window": key(
    durationFrom(1_000),
    15_000,
    "15s",
    "How long a policy of the controller is on probation before the one before is tried.",
  ),
  "commitConfirm.canaries": key(
    canaries,
    [],
    "[]",
    "Connections that must work under a new policy, beside the one to the controller.",
  ),
  boot: key(
    choice("last-known-good", "closed", "visibility"),
    "last-known-good",
    "last-known-good",
    "What holds at the start until a policy is at hand; closed: only essentials, if there is no stored policy.",
  ),
  "cap.cpuPercent": later(
    key(number(1, 6_400), 50, "50", "The kernel's fence: CPU, in percent of one core."),
  ),
  "cap.memoryFactor": later(
    key(number(1, 100), 1.5, "1.5", "The kernel's fence: memory, as a multiple of the budget."),
  ),
  "cap.pids": later(key(integer(8, 100_000), 64, "64", "The kernel's fence: processes and threads.")),
  "budget.cpuPercent": key(number(0.1, 6_400), 2, "2", "Budget: percent of one core."),
  "budget.memoryMiB": key(
    number(16, 1_048_576),
    96,
    "96",
    "Budget: resident memory of the daemon and its children, in MiB.",
  ),
  "budget.diskMiB": key(number(1, 1_048_576), 64, "64", "Budget: the state directory, in MiB."),
  "kernel.cutMark": key(
    markBit,
    0x1000_0000,
    '"0x10000000"',
    "The bit of the connection mark that says: this flow was cut.",
  ),
  "kernel.nflogGroup": key(integer(1, 65_535), 4_711, "4711", "NFLOG group of denied packets."),
  "kernel.nflogRate": key(
    integer(20, 1_000_000),
    50,
    "50",
    "NFLOG packets a second and rule; the rest is counted.",
  ),
  "flows.window": later(key(duration, 600_000, "10m", "How much time one flow summary covers.")),
  "flows.ctEvents": later(
    key(
      choice("leave", "filter"),
      "leave",
      "leave",
      "filter silences conntrack events for everybody on the host.",
    ),
  ),
  "context.cloud": key(
    bool,
    true,
    "true",
    "Ask the cloud's metadata service who this host is, to tell the controller.",
  ),
  "context.containers": later(key(choice("auto", "off"), "auto", "auto", "Look for containers.")),
  "log.level": key(
    choice("debug", "info", "warn", "error"),
    "info",
    "info",
    "What is logged, as JSON lines on stderr.",
  ),
} as const;

export type KeyName = keyof typeof keys;
export type ValueOf<K extends KeyName> = (typeof keys)[K] extends Key<infer T> ? T : never;

/** Every key with its value, in force. Durations are milliseconds. */
export type Configuration = { readonly [K in KeyName]: ValueOf<K> };

export const keyNames = Object.keys(keys) as readonly KeyName[];

/** `kernel.cutMark` → `ANTENNA_KERNEL_CUT_MARK`, `budget.memoryMiB` → `ANTENNA_BUDGET_MEMORY_MIB`. */
export function environmentName(name: KeyName): string {
  const words = name.replaceAll(".", "_").replace(/([a-z])([A-Z][a-z])/g, "$1_$2");
  return `ANTENNA_${words.toUpperCase()}`;
}
