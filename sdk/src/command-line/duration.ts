const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** The longest that is accepted: a year. */
export const longestMs = 365 * 86_400_000;

/** Milliseconds of `500ms`, `15s`, `10m`, `24h`, `7d`; null for anything else, a bare number included: it has no unit. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text);
  const unit = units[match?.[2] ?? ""];
  if (match?.[1] === undefined || unit === undefined) return null;
  const ms = Number(match[1]) * unit;
  return ms <= longestMs ? ms : null;
}

/** The shortest way to write it that `parseDuration` reads back. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  for (const unit of ["d", "h", "m", "s"]) {
    const size = units[unit] ?? 1;
    if (ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}
