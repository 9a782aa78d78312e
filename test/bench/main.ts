import { release } from "node:os";
import { type BenchResult, formatResults } from "./result.js";

// `npm run bench [-- NAME…] [--json]`: every figure of the README comes from here.

const benches: Readonly<Record<string, () => Promise<readonly BenchResult[]>>> = {
  apply: async () => (await import("./apply.js")).apply(),
  datapath: async () => (await import("./datapath.js")).datapath(),
  footprint: async () => (await import("./footprint.js")).footprint(),
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
if (json)
  process.stdout.write(`${JSON.stringify({ node: process.versions.node, kernel: release(), results })}\n`);
else process.stdout.write(formatResults(results));
process.exitCode = results.every((result) => result.holds) ? 0 : 1;
