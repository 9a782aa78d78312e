import { compareNames } from "@antenna/sdk/document";
import type { Wave } from "./rollout-state.js";

/** A member that a wave may choose: connected, not chosen yet, and the revision changes its policy. */
export interface Eligible {
  readonly workload: string;
  /** How telling its failure is: 0, it enforces before and after; 1, after; 2, before; null, never. */
  readonly enforcing: 0 | 1 | 2 | null;
  /** It was chosen for the revision that this one replaces. */
  readonly wasChosen: boolean;
}

/** How telling the failure of a member is, by the modes of its policies. */
export function rankOf(before: string, after: string): Eligible["enforcing"] {
  const [was, is] = [isEnforcing(before), isEnforcing(after)];
  if (was && is) return 0;
  return is ? 1 : was ? 2 : null;
}

function isEnforcing(mode: string): boolean {
  return mode === "full" || mode === "selective";
}

/** Who is in a wave, besides the `chosen` members of the waves before; nobody: the wave is over before it begins. */
export function chooseWave(wave: Wave, eligible: readonly Eligible[], chosen: number): readonly string[] {
  const order = eligible.toSorted((a, b) => rank(a) - rank(b) || compareNames(a.workload, b.workload));
  switch (wave) {
    case "one":
      return order
        .filter(({ enforcing }) => enforcing !== null)
        .slice(0, 1)
        .map(({ workload }) => workload);
    case "tenth": {
      const total = Math.ceil((eligible.length + chosen) / 10);
      return order.slice(0, Math.max(0, total - chosen)).map(({ workload }) => workload);
    }
    case "all":
      return order.map(({ workload }) => workload);
  }
}

function rank({ enforcing, wasChosen }: Eligible): number {
  return (enforcing ?? 3) * 2 + (wasChosen ? 0 : 1);
}

/** null: it was the last. */
export function waveAfter(wave: Wave | null): Wave | null {
  switch (wave) {
    case null:
      return "one";
    case "one":
      return "tenth";
    case "tenth":
      return "all";
    case "all":
      return null;
  }
}
