import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";

// Who may import whom. The table of the house, as a test: a file that needs another row is in the wrong place.

const root = join(import.meta.dirname, "..", "..");

/** Packages of this repository that a package may name. */
const packages: Readonly<Record<string, readonly string[]>> = {
  sdk: [],
  "adapters/netlink": [],
  "adapters/netfilter-conntrack": ["@antenna/netlink"],
  "adapters/netfilter": ["@antenna/sdk", "@antenna/netlink", "netfilter-conntrack"],
  "adapters/linux": ["@antenna/sdk", "@antenna/netfilter"],
  "adapters/host": ["@antenna/sdk", "@antenna/netlink"],
  daemon: ["@antenna/sdk", "@antenna/netlink", "@antenna/linux", "@antenna/host"],
  "controller-mock": ["@antenna/sdk", "@antenna/netlink"],
};

/** What the agent and its enforcement points say to callers: types only. */
const agentTypes = ["agent-calls.ts", "agent-events.ts", "agent-status.ts"];

/** Within the SDK: a folder and the folders and files it may import from. */
const sdk: Readonly<Record<string, readonly string[]>> = {
  "error.ts": [],
  policy: ["policy", "error.ts"],
  evaluate: ["policy", "evaluate", "error.ts"],
  program: ["policy", "evaluate", "program", "error.ts"],
  "ports.ts": ["policy", "evaluate", "program", "reconcile", "context", "error.ts", ...agentTypes],
  reconcile: ["policy", "evaluate", "program", "reconcile", "ports.ts", "error.ts"],
  points: ["policy", "evaluate", "program", "reconcile", "points", "ports.ts", "error.ts", ...agentTypes],
  "protocol/codec": [
    ...["policy", "context", "protocol/codec", "ports.ts", "error.ts"],
    "reconcile/sync-state.ts",
  ],
  "protocol/signature": ["policy", "protocol/codec", "protocol/signature", "error.ts"],
  "protocol/identity": ["protocol/identity", "protocol/signature", "protocol/codec", "error.ts"],
  "protocol/link": [
    ...["protocol/link", "protocol/identity", "protocol/signature", "protocol/codec"],
    ...["policy", "context", "reconcile", "ports.ts", "error.ts"],
  ],
};

/** Within the controller, of the folders that are pure. */
const controller: Readonly<Record<string, readonly string[]>> = {
  policy: ["policy"],
  compute: ["policy", "compute"],
  rollout: ["policy", "compute", "rollout"],
};

/** Folders whose meaning is pure: time, processes, sockets and files come in from outside. */
const pure = [
  ...["sdk/src/evaluate", "sdk/src/program", "sdk/src/protocol/codec", "sdk/src/protocol/signature"],
  ...["adapters/netfilter/src/render", "adapters/netlink/src/codec"],
  ...["controller-mock/src/policy", "controller-mock/src/compute", "controller-mock/src/rollout"],
];
const impure = /^node:(child_process|fs|fs\/promises|net|dgram|timers|timers\/promises|os|worker_threads)$/;

interface Import {
  readonly file: string;
  readonly specifier: string;
}

function sourcesOf(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"))
    .map((name) => join(folder, name));
}

function importsOf(file: string): readonly Import[] {
  const text = readFileSync(join(root, file), "utf8");
  const pattern =
    /(?:^|\n)\s*(?:import|export)\b[^;'"]*?from\s*"([^"]+)"|import\(\s*"([^"]+)"\s*\)|(?:^|\n)\s*import\s*"([^"]+)"/g;
  return [...text.matchAll(pattern)].map((match) => ({
    file,
    specifier: match[1] ?? match[2] ?? match[3] ?? "",
  }));
}

/** A package and its subpaths, but for those that only this repository sees. */
function names(name: string, specifier: string): boolean {
  const isInside = specifier.startsWith(`${name}/`) && !specifier.startsWith(`${name}/internal/`);
  return specifier === name || isInside;
}

const ours = /^(@antenna\/|netfilter-conntrack|strongswan-vici)/;

for (const [folder, allowed] of Object.entries(packages)) {
  test(`${folder} imports only ${allowed.join(", ") || "nothing"} of this repository`, () => {
    const wrong = sourcesOf(`${folder}/src`)
      .flatMap(importsOf)
      .filter(({ specifier }) => ours.test(specifier))
      .filter(({ specifier }) => !allowed.some((name) => names(name, specifier)));
    assert.deepEqual(wrong, []);
  });
}

test("nobody imports the tests or the daemon, and nothing leaves its package by a relative path", () => {
  const wrong = Object.keys(packages).flatMap((folder) =>
    sourcesOf(`${folder}/src`)
      .flatMap(importsOf)
      .filter(({ specifier }) => /@antenna\/(test|daemon)/.test(specifier) || leaves(folder, specifier)),
  );
  assert.deepEqual(wrong, []);

  function leaves(folder: string, specifier: string): boolean {
    if (!specifier.startsWith(".")) return false;
    return specifier.split("../").length - 1 > folder.split("/").length + 2;
  }
});

for (const [source, table] of Object.entries({ "sdk/src": sdk, "controller-mock/src": controller })) {
  test(`within ${source}, imports follow the way of the data`, () => {
    const wrong = Object.entries(table).flatMap(([place, allowed]) => {
      const files = place.endsWith(".ts") ? [`${source}/${place}`] : sourcesOf(`${source}/${place}`);
      return files
        .flatMap(importsOf)
        .filter(({ specifier }) => specifier.startsWith("."))
        .map(({ file, specifier }) => ({
          file,
          target: relative(source, join(dirname(file), specifier)).replace(/\.js$/, ".ts"),
        }))
        .filter(({ target }) => !allowed.some((name) => target === name || target.startsWith(`${name}/`)));
    });
    assert.deepEqual(wrong, []);
  });
}

test("what must be pure imports no time, process, socket or file", () => {
  const wrong = pure.flatMap((folder) =>
    sourcesOf(folder)
      .flatMap(importsOf)
      .filter(({ specifier }) => impure.test(specifier)),
  );
  assert.deepEqual(wrong, []);
});

test("only the codec knows the generated code of the protocol", () => {
  const wrong = sourcesOf("sdk/src")
    .filter((file) => !file.startsWith("sdk/src/protocol/codec/"))
    .flatMap(importsOf)
    .filter(({ specifier }) => specifier === "#antenna.v1" || specifier.includes("/generated/"));
  assert.deepEqual(wrong, []);
});
