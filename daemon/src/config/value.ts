import type { Problem } from "@antenna/sdk";
import { parseDuration } from "@antenna/sdk/command-line";

/** One kind of configuration value: how it is read from YAML, from the environment, and how it is documented. */
export interface ValueKind<T> {
  /** For the table of keys: `duration`, `1-100`, `info | debug`. */
  readonly words: string;
  /** Gives the value, or null after telling what is wrong. */
  read(value: unknown, path: string, problems: Problem[]): T | null;
}

/** Refuses: tells where and why, and gives null so that a reader can return it. */
export function refuse(problems: Problem[], path: string, problem: string): null {
  problems.push({ path, problem });
  return null;
}

/** Shows an untrusted value in a message: one line, bounded. */
export function show(value: unknown): string {
  const text =
    typeof value === "string" ? JSON.stringify(value) : value instanceof Map ? "a map" : describe(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value === null || value === undefined) return "nothing";
  return typeof value === "object" ? "a map" : String(value);
}

export function choice<const T extends string>(...words: readonly T[]): ValueKind<T> {
  return {
    words: words.join(" | "),
    read: (value, path, problems) =>
      words.find((word) => word === value) ??
      refuse(problems, path, `${show(value)} is none of ${words.join(", ")}`),
  };
}

export const bool: ValueKind<boolean> = {
  words: "true | false",
  read: (value, path, problems) =>
    typeof value === "boolean" ? value : refuse(problems, path, `${show(value)} is neither true nor false`),
};

/** Milliseconds. */
export const duration: ValueKind<number> = {
  words: "duration (500ms, 15s, 10m, 24h, 7d)",
  read: (value, path, problems) => {
    const ms = typeof value === "string" ? parseDuration(value) : null;
    return (
      ms ??
      refuse(problems, path, `${show(value)} is not a duration like 500ms, 15s, 24h or 7d (at most 365d)`)
    );
  },
};

/** Milliseconds, so many at least. */
export function durationFrom(leastMs: number): ValueKind<number> {
  return {
    words: `duration from ${leastMs / 1_000}s`,
    read: (value, path, problems) => {
      const ms = duration.read(value, path, problems);
      if (ms === null || ms >= leastMs) return ms;
      return refuse(problems, path, `${show(value)} is less than ${leastMs / 1_000}s`);
    },
  };
}

export function number(from: number, to: number): ValueKind<number> {
  return {
    words: `number ${from}-${to}`,
    read: (value, path, problems) =>
      typeof value === "number" && value >= from && value <= to
        ? value
        : refuse(problems, path, `${show(value)} is not a number from ${from} to ${to}`),
  };
}

export function integer(from: number, to: number): ValueKind<number> {
  return {
    words: `whole number ${from}-${to}`,
    read: (value, path, problems) =>
      typeof value === "number" && Number.isInteger(value) && value >= from && value <= to
        ? value
        : refuse(problems, path, `${show(value)} is not a whole number from ${from} to ${to}`),
  };
}

/** One bit of 32, as hexadecimal text or as a number. */
export const markBit: ValueKind<number> = {
  words: 'one bit of 32, like "0x10000000"',
  read: (value, path, problems) => {
    const text = typeof value === "string" && /^0x[0-9a-f]{1,8}$/i.test(value) ? Number(value) : value;
    const single =
      typeof text === "number" && Number.isInteger(Math.log2(text)) && text >= 1 && text <= 2 ** 31;
    return single
      ? text
      : refuse(problems, path, `${show(value)} is not one single bit of 32, like "0x10000000"`);
  },
};

export const absolutePath: ValueKind<string> = {
  words: "absolute path",
  read: (value, path, problems) =>
    typeof value === "string" &&
    value.startsWith("/") &&
    !value.includes("\0") &&
    Buffer.byteLength(value) <= 4_095
      ? value
      : refuse(problems, path, `${show(value)} is not an absolute path`),
};

/** `host:port`, `10.0.0.1:8443`, `[fd00::1]:8443`. */
export const hostPort: ValueKind<string> = {
  words: "HOST:PORT",
  read: (value, path, problems) => {
    const match =
      typeof value === "string"
        ? /^(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):(\d{1,5})$/.exec(value)
        : null;
    const port = Number(match?.[1] ?? 0);
    return match !== null && port >= 1 && port <= 65_535
      ? match[0]
      : refuse(problems, path, `${show(value)} is not HOST:PORT with a port from 1 to 65535`);
  },
};
