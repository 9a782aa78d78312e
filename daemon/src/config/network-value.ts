import { isIP } from "node:net";
import type { Problem } from "@antenna/sdk";
import { refuse, show, type ValueKind } from "./value.js";

/** A service that is on, off, or narrowed to some servers. */
export type Narrowed = boolean | readonly string[];

/** One line of the operator's own list; services are checked by the SDK, with the grammar of policies. */
export interface OperatorAllowance {
  readonly direction: "in" | "out";
  readonly addresses: readonly string[];
  /** As written; null: every protocol and port. */
  readonly services: readonly unknown[] | null;
}

/** A connection that must work under a new policy, else the policy is rolled back. */
export interface Canary {
  readonly direction: "out";
  readonly peer: string;
  readonly protocol: "tcp";
  readonly port: number;
}

/** Longest list that is accepted; a longer one belongs into a policy. */
const longestList = 1_000;

export const narrowed: ValueKind<Narrowed> = {
  words: "true | false | list of addresses",
  read: (value, path, problems) => {
    if (typeof value === "boolean") return value;
    return readList(value, path, problems, readAddress);
  },
};

export const allowances: ValueKind<readonly OperatorAllowance[]> = {
  words: "list of { direction, addresses, services }",
  read: (value, path, problems) => readList(value, path, problems, readAllowance),
};

export const canaries: ValueKind<readonly Canary[]> = {
  words: "list of { direction: out, peer, protocol: tcp, port }",
  read: (value, path, problems) => readList(value, path, problems, readCanary),
};

type Reader<T> = (value: unknown, path: string, problems: Problem[]) => T | null;

function readList<T>(
  value: unknown,
  path: string,
  problems: Problem[],
  read: Reader<T>,
): readonly T[] | null {
  if (!Array.isArray(value)) return refuse(problems, path, `${show(value)} is not a list`);
  if (value.length > longestList)
    return refuse(problems, path, `${value.length} entries, at most ${longestList} are read`);
  const items = value.map((item: unknown, index) => read(item, `${path}[${index}]`, problems));
  const good = items.filter((item) => item !== null);
  return good.length === items.length ? good : null;
}

/** The entries of a map with exactly known keys; null after telling what is wrong. */
function readMap(
  value: unknown,
  path: string,
  problems: Problem[],
  known: readonly string[],
): ReadonlyMap<string, unknown> | null {
  if (!(value instanceof Map)) return refuse(problems, path, `${show(value)} is not a map`);
  const before = problems.length;
  for (const key of value.keys()) {
    if (!known.includes(key))
      refuse(problems, `${path}.${String(key)}`, `unknown key; known are ${known.join(", ")}`);
  }
  return problems.length === before ? value : null;
}

function readAddress(value: unknown, path: string, problems: Problem[]): string | null {
  if (typeof value === "string" && isIP(value) !== 0 && !value.includes("%")) return value;
  return refuse(problems, path, `${show(value)} is not an IPv4 or IPv6 address`);
}

function readText(value: unknown, path: string, problems: Problem[]): string | null {
  return typeof value === "string" ? value : refuse(problems, path, `${show(value)} is not text`);
}

function readAllowance(value: unknown, path: string, problems: Problem[]): OperatorAllowance | null {
  const map = readMap(value, path, problems, ["direction", "addresses", "services"]);
  if (map === null) return null;
  const direction = map.get("direction");
  if (direction !== "in" && direction !== "out") {
    return refuse(problems, `${path}.direction`, `${show(direction)} is neither in nor out`);
  }
  const addresses = readList(map.get("addresses"), `${path}.addresses`, problems, readText);
  if (addresses === null) return null;
  if (addresses.length === 0) return refuse(problems, `${path}.addresses`, "an empty list matches nothing");
  const services = map.get("services");
  if (services !== undefined && !Array.isArray(services)) {
    return refuse(problems, `${path}.services`, `${show(services)} is not a list`);
  }
  return { direction, addresses, services: services ?? null };
}

function readCanary(value: unknown, path: string, problems: Problem[]): Canary | null {
  const map = readMap(value, path, problems, ["direction", "peer", "protocol", "port"]);
  if (map === null) return null;
  const port = map.get("port");
  const peer = readAddress(map.get("peer"), `${path}.peer`, problems);
  if (map.get("direction") !== "out")
    return refuse(problems, `${path}.direction`, "a canary is an out connection");
  if (map.get("protocol") !== "tcp")
    return refuse(problems, `${path}.protocol`, "a canary is a tcp connection");
  if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535) {
    return refuse(problems, `${path}.port`, `${show(port)} is not a port (1-65535)`);
  }
  return peer === null ? null : { direction: "out", peer, protocol: "tcp", port };
}
