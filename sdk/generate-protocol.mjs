// Makes sdk/src/protocol/generated/ of antenna.proto: `node sdk/generate-protocol.mjs [OUTPUT FOLDER]`. What it makes is checked
// in; a test makes it again and compares.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const source = join(import.meta.dirname, "src/protocol");
const target = process.argv[2] ?? join(source, "generated");
mkdirSync(target, { recursive: true });
const pbjs = createRequire(import.meta.url).resolve("protobufjs-cli/bin/pbjs");
const output = join(target, "antenna.js");
const what = [
  "--force-number",
  "--no-service",
  "--no-delimited",
  "--no-verify",
  "--no-convert",
  "--no-typeurl",
];
// The types are made of the comments, which the code does not need: two runs.
generate(["-d"]);
generate(["--no-comments"]);

function generate(flags) {
  const options = [
    "-t",
    "static-module",
    "-w",
    "esm",
    "-r",
    "antenna.v1",
    ...what,
    ...flags,
    "-p",
    source,
    "-o",
    output,
  ];
  const made = spawnSync(process.execPath, [pbjs, ...options, "antenna/v1/antenna.proto"], {
    stdio: "inherit",
  });
  if (made.status !== 0) process.exit(made.status ?? 1);
}

for (const name of ["antenna.js", "antenna.d.ts"]) {
  const file = join(target, name);
  writeFileSync(
    file,
    `// Generated from antenna.proto by generate-protocol.mjs; do not edit.\n${readFileSync(file, "utf8")}`,
  );
}
