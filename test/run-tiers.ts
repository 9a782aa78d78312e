import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";

/**
 * Runs the test tiers one after another, each within its time budget, and says at the end what ran.
 * `ANTENNA_TIERS=unit,host` narrows to tiers, words narrow to files whose names hold one of them (`npm test -- netlink`);
 * `--soak` runs the long forms. A tier that cannot run is skipped loudly, and fails instead with CI=true.
 */
interface Tier {
  readonly name: string;
  readonly budgetMinutes: number;
  /** Files run at the same time; host tests share two cores with the kernel work they cause. */
  readonly concurrency: number;
  /** Why it cannot run here; null: it can. */
  readonly obstacle: () => string | null;
}

const tiers: readonly Tier[] = [
  { name: "unit", budgetMinutes: 10, concurrency: 2, obstacle: () => null },
  { name: "host", budgetMinutes: 20, concurrency: 2, obstacle: needsRoot },
  { name: "e2e", budgetMinutes: 15, concurrency: 2, obstacle: needsRoot },
];

function needsRoot(): string | null {
  if (process.platform !== "linux") return `needs Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0)
    return "needs root: network namespaces, iptables and ipset are used for real; run it with sudo";
  for (const file of [
    "/usr/sbin/iptables-nft",
    "/usr/sbin/iptables-legacy",
    "/usr/sbin/ipset",
    "/usr/sbin/ip",
  ]) {
    if (!existsSync(file)) return `${file} is missing`;
  }
  return null;
}

const dist = import.meta.dirname;
const soak = process.argv.includes("--soak");
const words = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));

function filesOf(tier: string): readonly string[] {
  const own = tier === "unit" ? [join(dist, "architecture.test.js")] : [];
  const folder = join(dist, tier);
  if (!existsSync(folder)) return own;
  const found = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".test.js"),
  );
  return [...own, ...found.sort().map((name) => join(folder, name))].filter(
    (file) => words.length === 0 || words.some((word) => basename(file).includes(word)),
  );
}

function runTier(tier: Tier, files: readonly string[]): Promise<number> {
  const budgetMs = tier.budgetMinutes * 60_000 * (soak ? 20 : 1);
  const args = [
    ...["--conditions=in-repo", "--enable-source-maps", "--test", `--test-concurrency=${tier.concurrency}`],
    ...["--test-reporter=spec", ...files],
  ];
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, ...(soak ? { ANTENNA_SOAK: "1" } : {}) },
  });
  const late = setTimeout(() => {
    process.stderr.write(`\ntier ${tier.name}: over its budget of ${budgetMs / 60_000} min; stopped\n`);
    child.kill("SIGTERM");
  }, budgetMs);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => {
      clearTimeout(late);
      resolve(code ?? 1);
    });
  });
}

const asked = process.env.ANTENNA_TIERS?.split(",").map((name) => name.trim());
for (const name of asked ?? []) {
  if (!tiers.some((tier) => tier.name === name)) {
    process.stderr.write(
      `ANTENNA_TIERS: no tier is called ${name}; there are ${tiers.map((tier) => tier.name).join(", ")}\n`,
    );
    process.exit(2);
  }
}

const rows: string[] = [];
let failed = false;
for (const tier of tiers) {
  if (asked !== undefined && !asked.includes(tier.name)) continue;
  const obstacle = tier.obstacle();
  if (obstacle !== null) {
    failed ||= process.env.CI === "true";
    process.stderr.write(`\ntier ${tier.name}: SKIPPED, ${obstacle}\n`);
    rows.push(`${tier.name.padEnd(6)} skipped   ${obstacle}`);
    continue;
  }
  const files = filesOf(tier.name);
  if (files.length === 0) continue;
  process.stdout.write(`\n== tier ${tier.name}: ${files.length} files, budget ${tier.budgetMinutes} min\n`);
  const started = performance.now();
  const code = await runTier(tier, files);
  failed ||= code !== 0;
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  rows.push(
    `${tier.name.padEnd(6)} ${code === 0 ? "passed " : "FAILED "}   ${minutes} min of ${tier.budgetMinutes}`,
  );
}
process.stdout.write(`\ntier   result    time\n${rows.join("\n")}\n`);
process.exitCode = failed ? 1 : 0;
