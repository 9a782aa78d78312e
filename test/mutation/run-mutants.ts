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
/** Without a sign of life for so long, it hangs. */
const silenceMs = 30_000;
/** What judges a mutant that the properties of meaning let pass; each runs for seconds and says nothing meanwhile. */
const others: Readonly<Record<Mutant["part"], readonly string[]>> = {
  compile: ["meaning-limits", "program-decide", "plan-safe"],
  render: ["render-rules", "meaning-stale-chain", "meaning-limits"],
  plan: ["plan-safe"],
};
const otherMs = 180_000;

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

/** What the short trial says of the modules as they are: a test that fails without any mutant catches none. */
export async function tryUnchanged(seed: number): Promise<readonly string[]> {
  const found: string[] = [];
  for (const part of ["compile", "plan"] as const) {
    const caughtBy = await trial("short", environmentOf(part, { module: "", content: "" }, seed));
    if (caughtBy !== null) found.push(`${part}: ${caughtBy}`);
  }
  return found;
}

async function tryOne(mutant: Mutant, seed: number): Promise<Verdict> {
  const started = performance.now();
  const folder = mkdtempSync(join(tmpdir(), "antenna-mutant-"));
  try {
    const content = join(folder, "mutant.js");
    writeFileSync(content, mutant.source);
    const environment = environmentOf(mutant.part, { module: mutant.file, content }, seed);
    const caughtBy =
      (await trial("short", environment)) ??
      (await otherThatFails(mutant.part, environment)) ??
      (await trial("long", environment));
    return { mutant, caughtBy, ms: Math.round(performance.now() - started) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

type Environment = Readonly<Record<string, string>>;

function environmentOf(part: Mutant["part"], replacement: Replacement, seed: number): Environment {
  return {
    ANTENNA_REPLACEMENT: JSON.stringify(replacement),
    ANTENNA_PART: part,
    ANTENNA_SEED: String(seed),
  };
}

async function trial(length: "short" | "long", environment: Environment): Promise<string | null> {
  const { code, output, late } = await node("trial.js", { ...environment, ANTENNA_TRIAL: length }, silenceMs);
  if (late) return "it hangs";
  return code === 0 ? output.replaceAll(".", "") || null : "it does not run";
}

async function otherThatFails(part: Mutant["part"], environment: Environment): Promise<string | null> {
  for (const name of others[part]) {
    const { code, late } = await node(join("..", "unit", `${name}.test.js`), environment, otherMs);
    if (late) return `${name}: it hangs`;
    if (code !== 0) return name;
  }
  return null;
}

interface Outcome {
  readonly code: number | null;
  readonly output: string;
  readonly late: boolean;
}

/** Runs a file in a process of its own until it ends, or is silent for too long. */
function node(file: string, environment: Environment, silence: number): Promise<Outcome> {
  const imported = join(here, "replace-module.js");
  // A child of the test runner believes that its reports go to the runner.
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
  const args = ["--conditions=in-repo", "--import", imported, join(here, file)];
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...inherited, ...environment },
  });
  let output = "";
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, silence);
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    timer.refresh();
  });
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
