import { quote } from "./address.js";
import type { PortRange } from "./model.js";

/** A port or range from its text, `80` or `8000-8010`; a string says what is wrong. */
export function readPorts(text: string): PortRange | string {
  const match = /^([0-9]+)(?:-([0-9]+))?$/.exec(text);
  const [first, last] = [match?.[1], match?.[2] ?? match?.[1]];
  if (first === undefined || last === undefined)
    return `${shown(text)} is not a port (1-65535) or a range like "8000-8010"`;
  const [from, to] = [readPort(first), readPort(last)];
  if (from === null) return `${shown(first)} is not a port (1-65535)`;
  if (to === null) return `${shown(last)} is not a port (1-65535)`;
  if (from > to) return `${text} is reversed; write ${to}-${from}`;
  return { from, to };
}

/** `80`, or `8000-8010`. */
export function formatPorts(range: PortRange): string {
  return range.from === range.to ? String(range.from) : `${range.from}-${range.to}`;
}

/** Sorted, disjoint, and joined where they touch. */
export function normalisePorts(ranges: readonly PortRange[]): readonly PortRange[] {
  const sorted = ranges.toSorted((a, b) => a.from - b.from || a.to - b.to);
  const merged: PortRange[] = [];
  for (const range of sorted) {
    const last = merged.at(-1);
    if (last === undefined || range.from > last.to + 1) merged.push(range);
    else if (range.to > last.to) merged[merged.length - 1] = { from: last.from, to: range.to };
  }
  return merged;
}

function readPort(digits: string): number | null {
  const port = Number(digits);
  return digits.startsWith("0") || port > 65535 ? null : port;
}

function shown(text: string): string {
  return /^[\w.+-]{1,40}$/.test(text) ? text : quote(text);
}
