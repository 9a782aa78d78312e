import type { EnforcementMode, Family, Stage } from "@antenna/sdk";

const stages: readonly Stage[] = [
  ...(["loopback", "cut", "secure", "established", "related"] as const),
  ...(["essential", "override-deny", "allow", "deny", "default"] as const),
];
const modes: readonly EnforcementMode[] = ["full", "selective", "visibility", "idle"];
const families: readonly Family[] = [4, 6];

/** How often each stage decided, by mode and family, and how often other things were there. */
export class CoverageTable {
  readonly #cells = new Map<string, number>();
  readonly #extras = new Map<string, number>();

  note(stage: Stage, mode: EnforcementMode, family: Family): void {
    const key = cell(stage, mode, family);
    this.#cells.set(key, (this.#cells.get(key) ?? 0) + 1);
  }

  count(stage: Stage, mode: EnforcementMode, family: Family): number {
    return this.#cells.get(cell(stage, mode, family)) ?? 0;
  }

  extra(name: string): void {
    this.#extras.set(name, (this.#extras.get(name) ?? 0) + 1);
  }

  /** Every cell that can be reached and was not reached so often. */
  poor(least: number, extras: readonly string[]): readonly string[] {
    const cells = [];
    for (const stage of stages) {
      for (const mode of modes) {
        if (!reachable(stage, mode)) continue;
        for (const family of families) {
          const count = this.#cells.get(cell(stage, mode, family)) ?? 0;
          if (count < least) cells.push(`${cell(stage, mode, family)}: ${count}`);
        }
      }
    }
    const others = extras.filter((name) => (this.#extras.get(name) ?? 0) < least);
    return [...cells, ...others.map((name) => `${name}: ${this.#extras.get(name) ?? 0}`)];
  }

  print(title: string): void {
    const columns = modes.flatMap((mode) => families.map((family) => ({ mode, family })));
    const head = columns.map(({ mode, family }) => `${mode.slice(0, 6)}/v${family}`.padStart(10)).join("");
    console.log(`${title}\n${"".padEnd(15)}${head}`);
    for (const stage of stages) {
      const counts = columns.map(({ mode, family }) => {
        const count = this.#cells.get(cell(stage, mode, family)) ?? 0;
        return (reachable(stage, mode) ? String(count) : "-").padStart(10);
      });
      console.log(`${stage.padEnd(15)}${counts.join("")}`);
    }
    const extras = [...this.#extras].sort(([a], [b]) => (a < b ? -1 : 1));
    console.log(extras.map(([name, count]) => `${name} ${count}`).join(" · "));
  }
}

/** `idle` programs nothing; `visibility` drops nothing, so that a cut flow is one like others. */
function reachable(stage: Stage, mode: EnforcementMode): boolean {
  if (mode === "idle") return stage === "default";
  return stage !== "cut" || mode !== "visibility";
}

function cell(stage: Stage, mode: EnforcementMode, family: Family): string {
  return `${stage} ${mode} v${family}`;
}
