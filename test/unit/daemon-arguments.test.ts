import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { antenna } from "@antenna/daemon/internal/cli.js";
import {
  type Command,
  parseArguments,
  runCommandLine,
  type Terminal,
  UsageError,
} from "@antenna/sdk/command-line";
import { commandHelp } from "@antenna/sdk/internal/command-line/help.js";

const sample: Command = {
  name: "sample",
  summary: "",
  about: "",
  options: {
    json: { type: "boolean", about: "" },
    port: { type: "string", value: "N", about: "" },
  },
  positionals: [{ name: "FILE", about: "a file", required: true }],
  examples: [],
  run: async () => 0,
};

function record(): { readonly terminal: Terminal; out: string; err: string } {
  const written = {
    out: "",
    err: "",
    terminal: {
      out: async (text: string) => {
        written.out += text;
      },
      err: (text: string) => {
        written.err += text;
      },
      paint: (_: unknown, text: string) => text,
      stdin: (async function* () {})(),
    },
  };
  return written;
}

async function runLine(
  ...argv: string[]
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const written = record();
  const surroundings = { terminal: written.terminal, environment: {}, signal: new AbortController().signal };
  const code = await runCommandLine(antenna, argv, surroundings);
  return { code, out: written.out, err: written.err };
}

describe("arguments of a command", () => {
  test("options, values and positionals in any order", () => {
    const parsed = parseArguments(sample, ["--port", "80", "policy.yaml", "--json"]);
    assert.deepEqual({ ...parsed.values }, { port: "80", json: true });
    assert.deepEqual(parsed.positionals, ["policy.yaml"]);
  });

  test("a file that looks like an option comes after --", () => {
    assert.deepEqual(parseArguments(sample, ["--", "--json"]).positionals, ["--json"]);
  });

  for (const [what, argv] of [
    ["an unknown option", ["--bogus", "f"]],
    ["a value that is missing", ["f", "--port"]],
    ["a value for what takes none", ["f", "--json=1"]],
    ["an option given twice", ["f", "--port", "1", "--port", "2"]],
    ["an empty value", ["f", "--port", ""]],
    ["no file", []],
    ["two files", ["a", "b"]],
  ] as const) {
    test(`${what} is refused`, () => {
      assert.throws(() => parseArguments(sample, argv), UsageError);
    });
  }
});

describe("the command line", () => {
  test("no command: help on stderr, exit code 2", async () => {
    const { code, out, err } = await runLine();
    assert.equal(code, 2);
    assert.equal(out, "");
    assert.match(err, /usage: antenna COMMAND/);
  });

  test("an unknown command: help, exit code 2, no escape sequence passes", async () => {
    const { code, err } = await runLine("pair\u001b[2J");
    assert.equal(code, 2);
    assert.match(err, /unknown command/);
    assert.ok(!err.includes("\u001b"));
  });

  test("--help of every command shows its options and examples", async () => {
    for (const { name, summary, load } of antenna.entries) {
      const command = await load();
      assert.equal(command.name, name);
      assert.equal(command.summary, summary);
      assert.ok(command.examples.length > 0, `${name} has examples`);
      for (const [line] of command.examples) assert.ok(line.includes(`antenna ${name.split(" ")[0]}`), line);
      const { code, out, err } = await runLine(...name.split(" "), "--help");
      assert.equal(code, 0);
      assert.equal(err, "");
      assert.equal(out, commandHelp("antenna", command));
      for (const option of Object.keys(command.options)) assert.ok(out.includes(`--${option}`));
    }
  });

  test("a usage error names the command and exits with 2", async () => {
    const { code, err } = await runLine("explain", "--direction", "in");
    assert.equal(code, 2);
    assert.match(err, /^antenna explain: --protocol is missing\nusage: antenna explain/);
  });

  test("no daemon: exit code 4, and what to do", async () => {
    const { code, err } = await runLine("status", "--state-dir", "/nonexistent/antenna");
    assert.equal(code, 4);
    assert.match(err, /no daemon answers on \/nonexistent\/antenna\/antenna\.sock; start one/);
  });

  test("a state directory too long for a socket: exit code 3", async () => {
    const { code, err } = await runLine("status", "--state-dir", `/${"x".repeat(120)}`);
    assert.equal(code, 3);
    assert.match(err, /longer than the 107 bytes/);
  });
});
