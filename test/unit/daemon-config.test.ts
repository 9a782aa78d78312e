import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { environmentName, keyNames, keys } from "@antenna/daemon/internal/config/keys.js";
import { type LoadedConfiguration, loadConfiguration } from "@antenna/daemon/internal/config/read.js";
import { operatorEssentials } from "@antenna/daemon/internal/run/essential-facts.js";
import { AntennaError } from "@antenna/sdk";
import { formatDuration, parseDuration } from "@antenna/sdk/command-line";
import fc from "fast-check";

const seed = Number(process.env.ANTENNA_SEED ?? Date.now() % 2 ** 31);
console.log(`seed ${seed}`);

let directory = "";
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "antenna-config-"));
});
after(() => rm(directory, { recursive: true, force: true }));

async function load(
  text: string | Buffer,
  environment: Record<string, string> = {},
): Promise<LoadedConfiguration> {
  const file = join(directory, `${Math.random()}.yaml`);
  await writeFile(file, text);
  return await loadConfiguration({ file, flags: {}, environment });
}

async function problemsOf(
  text: string | Buffer,
  environment: Record<string, string> = {},
): Promise<readonly string[]> {
  try {
    await load(text, environment);
  } catch (reason) {
    assert.ok(reason instanceof AntennaError);
    assert.equal(reason.code, "input-refused");
    return reason.problems.map(({ path, problem }) => `${path}: ${problem}`);
  }
  return [];
}

const whole = `
stateDir: /var/lib/antenna
controller: controller.example:8443
policy: /etc/antenna/policy.yaml
settle: 30s
onAllow: return
essentials: { dns: true, ntp: ["10.0.0.3", "fd00::3"], allow: [ { direction: out, addresses: ["10.0.0.9"], services: [ { protocol: udp, ports: [514] } ] } ] }
commitConfirm: { window: 15s, canaries: [ { direction: out, peer: "10.0.0.5", protocol: tcp, port: 5432 } ] }
boot: last-known-good
cap: { cpuPercent: 50, memoryFactor: 1.5, pids: 64 }
budget: { memoryMiB: 128 }
kernel: { cutMark: "0x10000000", nflogGroup: 4711, nflogRate: 50 }
flows: { window: 10m, ctEvents: leave }
context: { cloud: true, containers: auto }
log: { level: info }
`;

describe("the configuration file", () => {
  test("every key of the contract is read; a part of a section is enough", async () => {
    const { values } = await load(whole);
    assert.equal(values.settle, 30_000);
    assert.equal(values["budget.memoryMiB"], 128);
    assert.equal(values["budget.cpuPercent"], 2);
    assert.equal(values["kernel.cutMark"], 0x1000_0000);
    assert.deepEqual(values["essentials.ntp"], ["10.0.0.3", "fd00::3"]);
    assert.equal(values["flows.window"], 600_000);
  });

  test("an empty file, a comment alone and an empty section are defaults", async () => {
    for (const text of ["", "# nothing\n", "budget:\n"]) {
      const { values, given } = await load(text);
      assert.deepEqual([...given], []);
      assert.equal(values.stateDir, "/var/lib/antenna");
    }
  });

  test("everything that is wrong is told at once, with its path", async () => {
    const problems = await problemsOf(`
stateDir: relative
settle: 30
budget: { cpuPercent: lots, memory: 96 }
kernel: { cutMark: "0x30000000", nflogRate: 5 }
essentials: { dns: [ nonsense ], allow: [ { direction: sideways, addresses: [] } ] }
commitConfirm: { canaries: [ { direction: in, peer: "10.0.0.5", protocol: tcp, port: 1 } ] }
log: loud
bogus: 1
`);
    const paths = problems.map((problem) => problem.split(": ")[0]);
    assert.deepEqual(paths.toSorted(), [
      "bogus",
      "budget.cpuPercent",
      "budget.memory",
      "commitConfirm.canaries[0].direction",
      "essentials.allow[0].direction",
      "essentials.dns[0]",
      "kernel.cutMark",
      "kernel.nflogRate",
      "log",
      "settle",
      "stateDir",
    ]);
  });

  for (const [what, text] of [
    ["no YAML", "a: [b"],
    ["a list", "- a\n"],
    ["a word", "hello"],
    ["two documents", "settle: 1s\n---\nsettle: 2s\n"],
    ["a key twice", "settle: 1s\nsettle: 2s\n"],
    ["aliases", "log: &a { level: info }\ncontext: *a\n"],
    ["not UTF-8", Buffer.from([0x73, 0xff, 0xfe])],
    ["larger than a person writes", `# ${"x".repeat(1024 * 1024)}`],
    ["__proto__", "__proto__: { stateDir: /x }\n"],
  ] as const) {
    test(`${what} is refused`, async () => {
      assert.notDeepEqual(await problemsOf(text), []);
    });
  }

  test("a named file that is missing is an error, the default one is not", async () => {
    await assert.rejects(
      loadConfiguration({ file: join(directory, "missing.yaml"), flags: {}, environment: {} }),
      (reason) => reason instanceof AntennaError && reason.code === "storage",
    );
  });
});

describe("where a value comes from", () => {
  test("a flag beats the environment, which beats the file, which beats the default", async () => {
    const file = join(directory, "order.yaml");
    await writeFile(file, "settle: 1s\nonAllow: accept\nboot: closed\n");
    const environment = { ANTENNA_SETTLE: "2s", ANTENNA_ON_ALLOW: "return" };
    const { values, given } = await loadConfiguration({ file, flags: { settle: 3_000 }, environment });
    assert.equal(values.settle, 3_000);
    assert.equal(values.onAllow, "return");
    assert.equal(values.boot, "closed");
    assert.equal(values["log.level"], "info");
    assert.deepEqual([...given].toSorted(), ["boot", "onAllow", "settle"]);
  });

  test("the environment holds words, numbers, and JSON for lists", async () => {
    const { values } = await load("", {
      ANTENNA_BUDGET_MEMORY_MIB: "64",
      ANTENNA_KERNEL_NFLOG_GROUP: "12",
      ANTENNA_ESSENTIALS_DNS: '["10.0.0.2"]',
      ANTENNA_ESSENTIALS_NTP: "false",
      ANTENNA_ESSENTIALS_ALLOW: '[{"direction":"out","addresses":["10.0.0.9"]}]',
      ANTENNA_TIERS: "somebody else's",
    });
    assert.equal(values["kernel.nflogGroup"], 12);
    assert.equal(values["budget.memoryMiB"], 64);
    assert.deepEqual(values["essentials.dns"], ["10.0.0.2"]);
    assert.equal(values["essentials.ntp"], false);
    assert.deepEqual(values["essentials.allow"], [
      { direction: "out", addresses: ["10.0.0.9"], services: null },
    ]);
  });

  test("a trial has a window of a second at least; the pairing key is no key of the configuration", async () => {
    const [problem, ...more] = await problemsOf("commitConfirm: { window: 999ms }");
    assert.match(problem ?? "", /^commitConfirm\.window: "999ms" is less than 1s/);
    assert.deepEqual(more, []);
    const environment = { ANTENNA_COMMIT_CONFIRM_WINDOW: "1s", ANTENNA_PAIRING_KEY: "id.secret.fingerprint" };
    const loaded = await load("", environment);
    assert.equal(loaded.values["commitConfirm.window"], 1_000);
    assert.ok(!JSON.stringify([loaded.values, [...loaded.given]]).includes("secret"));
  });

  test("a bad value in the environment names its variable", async () => {
    const [problem] = await problemsOf("", { ANTENNA_SETTLE: "soon" });
    assert.match(problem ?? "", /^ANTENNA_SETTLE: "soon" is not a duration/);
  });
});

describe("durations", () => {
  test("what is written is read back", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 86_400_000 * 365 }),
        (ms) => parseDuration(formatDuration(ms)) === ms,
      ),
      { seed },
    );
  });

  test("units are required, and nothing is negative, fractional or endless", () => {
    for (const text of ["", "5", "-1s", "1.5s", "1 s", "1S", "1w", "366d", "99999999999999s", "s"]) {
      assert.equal(parseDuration(text), null, text);
    }
    assert.deepEqual(
      ["500ms", "15s", "10m", "24h", "7d", "0s"].map(parseDuration),
      [500, 15_000, 600_000, 86_400_000, 604_800_000, 0],
    );
  });
});

describe("the operator's own essentials", () => {
  test("become essentials with the grammar of policies", () => {
    const [first, second, ...more] = operatorEssentials([
      {
        direction: "out",
        addresses: ["10.0.0.9"],
        services: [
          new Map<string, unknown>([
            ["protocol", "udp"],
            ["ports", [514, "600-610"]],
          ]),
        ],
      },
      { direction: "in", addresses: ["fd00::/64"], services: null },
    ]);
    assert.deepEqual(more, []);
    assert.equal(first?.protocol, 17);
    assert.deepEqual(first?.destinationPorts, [
      { from: 514, to: 514 },
      { from: 600, to: 610 },
    ]);
    assert.equal(first?.peers?.size, 1);
    assert.equal(second?.direction, "in");
    assert.equal(second?.protocol, null);
  });

  test("what a policy would refuse is refused, with paths into the configuration", () => {
    const bad = [
      { direction: "out", addresses: ["10.0.0.9"], services: null },
      {
        direction: "out",
        addresses: ["10.0.0.300"],
        services: [new Map([["protocol", "tcp"], ["ports", [0]] as never])],
      },
    ] as const;
    assert.throws(
      () => operatorEssentials(bad),
      (reason) =>
        reason instanceof AntennaError &&
        reason.problems.some(({ path }) => path === "essentials.allow[1].addresses[0]") &&
        reason.problems.some(({ path }) => path.startsWith("essentials.allow[1].services[0]")),
    );
  });
});

test("the README's table of keys is this table of keys", async () => {
  const text = await readFile(new URL("../../../daemon/README.md", import.meta.url), "utf8");
  // The formatter aligns columns.
  const readme = text.replace(/ +/g, " ");
  const rows = keyNames.map((name) => {
    const { kind, shown, about, obeyed } = keys[name];
    const note = obeyed ? about : `${about} _No effect yet._`;
    const cells = [
      `\`${name}\``,
      kind.words.replaceAll("|", "\\|"),
      `\`${shown}\``,
      note,
      `\`${environmentName(name)}\``,
    ];
    return `| ${cells.join(" | ")} |`;
  });
  for (const row of rows) assert.ok(readme.includes(row), `daemon/README.md lacks this row:\n${row}`);
});
