import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Mutant } from "./mutants.js";
import type { Replacement } from "./replacing-loader.js";

export interface Verdict {
  readonly mutant: Mutant;
  /** The test that failed, `it hangs` or `it does not run`; null: it survived. */
  readonly caughtBy: string | null;
  readonly ms: number;
}

const here = import.meta.dirname;
const unit = join(here, "..", "unit");
const trialMs = 60_000;
/** What judges a mutant that the properties of meaning let pass. */
const others = ["plan-safe", "program-decide"] as const;

/** Tries mutants, `width` at a time. */
export async function runMutants(
  mutants: readonly Mutant[],
  seed: number,
  onVerdict: (verdict: Verdict) => void,
  width = 2,
): Promise<readonly Verdict[]> {
  const left = [...mutants];
  const verdicts: Verdict[] = [];
  const worker = async (): Promise<void> => {
    for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
      const verdict = await tryOne(mutant, seed);
      verdicts.push(verdict);
      onVerdict(verdict);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return verdicts;
}

async function tryOne(mutant: Mutant, seed: number): Promise<Verdict> {
  const folder = mkdtempSync(join(tmpdir(), "antenna-mutant-"));
  try {
    const content = join(folder, "mutant.js");
    writeFileSync(content, mutant.source);
    return await judge(mutant, { module: mutant.file, content }, seed);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function judge(mutant: Mutant, replacement: Replacement, seed: number): Promise<Verdict> {
  const started = performance.now();
  const trial = await node([join(here, "trial.js")], replacement, mutant.part, seed);
  let caughtBy = trial.late ? "it hangs" : trial.code === 0 ? trial.output || null : "it does not run";
  for (const name of caughtBy === null ? others : []) {
    const { code, late } = await node(
      ["--test", join(unit, `${name}.test.js`)],
      replacement,
      mutant.part,
      seed,
    );
    if (code === 0 && !late) continue;
    caughtBy = name;
    break;
  }
  return { mutant, caughtBy, ms: Math.round(performance.now() - started) };
}

interface Outcome {
  readonly code: number | null;
  readonly output: string;
  readonly late: boolean;
}

function node(
  args: readonly string[],
  replacement: Replacement,
  part: Mutant["part"],
  seed: number,
): Promise<Outcome> {
  const imported = join(here, "replace-module.js");
  const child = spawn(process.execPath, ["--conditions=in-repo", "--import", imported, ...args], {
    stdio: ["ignore", "pipe", "ignore"],
    env: {
      ...process.env,
      ANTENNA_REPLACEMENT: JSON.stringify(replacement),
      ANTENNA_PART: part,
      ANTENNA_SEED: String(seed),
    },
  });
  let output = "";
  let late = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, trialMs);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, output: output.trim(), late });
    });
  });
}

/** For people: where, what it was, what it became, who saw it. */
export function describeVerdict({ mutant, caughtBy, ms }: Verdict): string {
  const place = mutant.file.split("/").slice(-2).join("/");
  const seconds = (ms / 1000).toFixed(1);
  return [
    `${caughtBy === null ? "SURVIVED" : `caught by ${caughtBy}`} (${seconds} s): ${place}:${mutant.line}, ${mutant.operator}`,
    `    - ${mutant.before}`,
    `    + ${mutant.after}`,
  ].join("\n");
}
