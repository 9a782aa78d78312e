import assert from "node:assert/strict";
import { chmod, chown, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { emptyStateDir, prepareStateDir } from "@antenna/daemon/internal/run/state-dir.js";

let parent = "";
let directory = "";
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "antenna-state-dir-"));
  directory = join(parent, "state");
});
afterEach(() => rm(parent, { recursive: true, force: true }));

/** What a daemon leaves there. */
async function fill(): Promise<void> {
  await mkdir(join(directory, "policy"));
  await writeFile(join(directory, "policy", "state-1.snapshot"), "");
  await writeFile(join(directory, "lock"), "");
}

describe("a state directory", () => {
  test("that was not there is made for its owner alone, and goes again", async () => {
    await prepareStateDir(directory);
    assert.equal((await stat(directory)).mode & 0o777, 0o700);
    await fill();
    // Another start does not forget who made it.
    await prepareStateDir(directory);
    await emptyStateDir(directory);
    assert.deepEqual(await readdir(parent), []);
  });

  test("that was there before is closed to others, used, emptied of what is ours, and stays", async () => {
    await mkdir(directory);
    await prepareStateDir(directory);
    assert.equal((await stat(directory)).mode & 0o777, 0o700);
    await fill();
    await emptyStateDir(directory);
    assert.deepEqual(await readdir(directory), []);
  });

  test("stays with what somebody else put there, even if we made it", async () => {
    await prepareStateDir(directory);
    await fill();
    await writeFile(join(directory, "notes.txt"), "the owner's");
    await emptyStateDir(directory);
    assert.deepEqual(await readdir(directory), ["notes.txt"]);
  });

  for (const mode of [0o770, 0o707, 0o1777]) {
    test(`that others can write to (0${mode.toString(8)}) is refused, with owner, mode and advice`, async () => {
      await mkdir(directory);
      await chmod(directory, mode);
      await assert.rejects(prepareStateDir(directory), (error: Error & { code: string }) => {
        assert.equal(error.code, "storage");
        const said = new RegExp(`uid ${process.getuid?.()} with mode 0${mode.toString(8)}, .*chmod 0700`);
        assert.match(error.message, said);
        return true;
      });
      assert.equal((await stat(directory)).mode & 0o7777, mode, "not ours to mend");
      assert.deepEqual(await readdir(directory), []);
    });
  }

  test("of another user is refused, with owner, mode and advice", async () => {
    const isRoot = process.getuid?.() === 0;
    await mkdir(directory, { mode: 0o700 });
    if (isRoot) await chown(directory, 65_534, 65_534);
    const foreign = isRoot ? directory : "/";
    const [owner, mode] = isRoot ? [65_534, "0700"] : [0, "0755"];
    await assert.rejects(prepareStateDir(foreign), (error: Error & { code: string }) => {
      assert.equal(error.code, "storage");
      const said = `belongs to uid ${owner} with mode ${mode}, not to uid ${process.getuid?.()}, .*chown`;
      assert.match(error.message, new RegExp(said));
      return true;
    });
  });
});
