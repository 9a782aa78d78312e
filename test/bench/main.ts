import { readFile, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { type BenchResult, formatResults, markdownResults } from "./result.js";

// `npm run bench [-- NAME…] [--json | --readme]`: every figure of the README comes from here; --readme writes its table.

const benches: Readonly<Record<string, () => Promise<readonly BenchResult[]>>> = {
  apply: async () => (await import("./apply.js")).apply(),
  datapath: async () => (await import("./datapath.js")).datapath(),
  footprint: async () => (await import("./footprint.js")).footprint(),
  "link-footprint": async () => (await import("./link-footprint.js")).linkFootprint(),
  fleet: async () => (await import("./fleet.js")).fleet(),
};

const names = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
const json = process.argv.includes("--json");
const unknown = names.filter((name) => !(name in benches));
if (unknown.length > 0) {
  process.stderr.write(`unknown: ${unknown.join(", ")}; there are ${Object.keys(benches).join(", ")}\n`);
  process.exit(2);
}

const results: BenchResult[] = [];
for (const [name, bench] of Object.entries(benches)) {
  if (names.length > 0 && !names.includes(name)) continue;
  process.stderr.write(`bench ${name}…\n`);
  results.push(...(await bench()));
}
if (process.argv.includes("--readme")) await writeReadme();
if (json)
  process.stdout.write(`${JSON.stringify({ node: process.versions.node, kernel: release(), results })}\n`);
else process.stdout.write(formatResults(results));
process.exitCode = results.every((result) => result.holds) ? 0 : 1;

async function writeReadme(): Promise<void> {
  const file = join(import.meta.dirname, "..", "..", "..", "README.md");
  const [begin, end] = ["<!-- bench:begin -->", "<!-- bench:end -->"];
  const text = await readFile(file, "utf8");
  const from = text.indexOf(begin) + begin.length;
  const to = text.indexOf(end);
  if (from < begin.length || to < from) throw new Error(`README.md has no ${begin} … ${end}`);
  const made = `Node ${process.versions.node}, Linux ${release()}; medians of one interleaved run.`;
  await writeFile(file, `${text.slice(0, from)}\n${made}\n\n${markdownResults(results)}${text.slice(to)}`);
}
