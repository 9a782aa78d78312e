/** One line of the benchmark table; `npm run bench -- --json` prints these. */
export interface BenchResult {
  readonly name: string;
  readonly unit: string;
  /** Medians of one interleaved run. */
  readonly ours: number;
  /** null: the goal is absolute. */
  readonly peer: number | null;
  readonly peerName: string | null;
  readonly ratio: number | null;
  readonly goal: string;
  readonly holds: boolean;
  readonly rounds: number;
}

interface Goal {
  readonly kind: "ratio" | "absolute";
  readonly comparison: "<=" | ">=";
  readonly bound: number;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export interface Contestants {
  readonly name: string;
  readonly unit: string;
  readonly rounds: number;
  readonly goal: Goal;
  /** One measurement. */
  readonly ours: (round: number) => Promise<number>;
  readonly peer: { readonly name: string; readonly measure: (round: number) => Promise<number> } | null;
}

/** Measures in turn, A B A B, so that the machine's noise falls on both; medians, and the ratio of medians. */
export async function interleave(contestants: Contestants): Promise<BenchResult> {
  const { name, unit, rounds, goal, peer } = contestants;
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    ours.push(await contestants.ours(round));
    if (peer !== null) theirs.push(await peer.measure(round));
  }
  return judge({ name, unit, ours, theirs, peerName: peer?.name ?? null, goal });
}

export interface Samples {
  readonly name: string;
  readonly unit: string;
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  readonly peerName: string | null;
  readonly goal: Goal;
}

/** Medians against the goal. */
export function judge({ name, unit, ours, theirs, peerName, goal }: Samples): BenchResult {
  const own = median(ours);
  const peer = theirs.length === 0 ? null : median(theirs);
  const ratio = peer === null ? null : own / peer;
  const measured = goal.kind === "ratio" ? (ratio ?? Number.NaN) : own;
  const holds = goal.comparison === "<=" ? measured <= goal.bound : measured >= goal.bound;
  const words = `${goal.comparison} ${goal.bound}${goal.kind === "absolute" ? ` ${unit}` : ""}`;
  return { name, unit, ours: own, peer, peerName, ratio, goal: words, holds, rounds: ours.length };
}

/** The table for people. */
export function formatResults(results: readonly BenchResult[]): string {
  const head = ["name", "ours", "peer", "ratio", "goal", "holds", "rounds"];
  const rows = results.map((result) => [
    result.name,
    `${figure(result.ours)} ${result.unit}`,
    result.peer === null ? "-" : `${figure(result.peer)} ${result.unit} (${result.peerName})`,
    result.ratio === null ? "-" : result.ratio.toFixed(2),
    result.goal,
    result.holds ? "yes" : "NO",
    String(result.rounds),
  ]);
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return `${[head, ...rows].map(line).join("\n")}\n`;
}

/** The same for the README. */
export function markdownResults(results: readonly BenchResult[]): string {
  const rows = results.map((result) => {
    const peer = result.peer === null ? "–" : `${figure(result.peer)} (${result.peerName})`;
    const ratio = result.ratio === null ? "–" : result.ratio.toFixed(2);
    return `| ${result.name} | ${figure(result.ours)} ${result.unit} | ${peer} | ${ratio} | ${result.goal} | ${result.holds ? "yes" : "**no**"} |`;
  });
  return [
    "| what | ours | beside it | ratio | goal | holds |",
    "|---|---|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

function figure(value: number): string {
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
}
