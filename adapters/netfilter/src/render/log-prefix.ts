import { createHash } from "node:crypto";

/**
 * What NFLOG carries for a denial, at most 63 characters (what iptables passes on):
 * `ant:rule:ID`, `ant:secure:ID`, or `ant:default`. An id that is long or not plain is replaced by `#` and 32 hex digits
 * of its SHA-256, which no plain id begins with.
 */
export function logPrefix(source: LogSource): string {
  return source.kind === "default" ? "ant:default" : `ant:${source.kind}:${logName(source.rule)}`;
}

export type LogSource =
  | { readonly kind: "default" }
  | { readonly kind: "rule" | "secure"; readonly rule: string };

/** What stands for a rule's id in a prefix. */
export function logName(rule: string): string {
  if (plain.test(rule)) return rule;
  return `#${createHash("sha256").update(rule).digest("hex").slice(0, 32)}`;
}

const plain = /^[A-Za-z0-9._/@+=-]{1,48}$/;
