import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

// What a newcomer sees: the whole story, told once, and the machine as it was found.

test("npm start -- --once tells its story and leaves nothing", { timeout: 180_000 }, async () => {
  const program = join(import.meta.dirname, "..", "lab", "main.js");
  const { code, output } = await new Promise<{ readonly code: number; readonly output: string }>(
    (resolve) => {
      execFile(process.execPath, ["--conditions=in-repo", program, "--once"], (error, stdout, stderr) => {
        const exit = typeof error?.code === "number" ? error.code : 1;
        resolve({ code: error === null ? 0 : exit, output: `${stdout}${stderr}` });
      });
    },
  );
  assert.equal(code, 0, output);
  assert.match(output, /The story holds\./);
  assert.match(output, /all 36 paths as expected/);
  assert.match(output, /The machine is as it was found/);
  assert.doesNotMatch(output, /\bNO\b|WRONG/);
});
