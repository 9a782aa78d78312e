import assert from "node:assert/strict";
import { appendFile, mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FileWatch, watchPoints } from "@antenna/daemon/internal/run/file-watch.js";
import { PolicySource } from "@antenna/daemon/internal/run/policy-source.js";
import { Problems } from "@antenna/daemon/internal/run/problems.js";
import { findResolvers, parseResolvConf } from "@antenna/daemon/internal/run/resolvers.js";
import { AntennaError, type Policy, readPolicyFile } from "@antenna/sdk";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "antenna-files-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let waited = 0; waited < 5_000; waited += 10) {
    if (condition()) return;
    await sleep(10);
  }
  assert.fail(`never: ${what}`);
}

describe("a watched file", () => {
  let calls = 0;
  async function watch(path: string): Promise<FileWatch> {
    calls = 0;
    // No poll within the test: notices alone must tell.
    return await FileWatch.open({ path, pollMs: 600_000, onChange: () => void calls++ });
  }

  test("written in place", async () => {
    const path = join(directory, "policy");
    await writeFile(path, "1");
    using _ = await watch(path);
    await appendFile(path, "2");
    await until(() => calls === 1, "told");
  });

  test("renamed over, as editors and careful scripts do", async () => {
    const path = join(directory, "policy");
    await writeFile(path, "1");
    using _ = await watch(path);
    for (const round of [1, 2, 3]) {
      await writeFile(`${path}.new`, "2");
      await rename(`${path}.new`, path);
      await until(() => calls === round, `told ${round} times`);
    }
  });

  test("made later, removed, made again", async () => {
    const path = join(directory, "policy");
    using _ = await watch(path);
    await writeFile(path, "1");
    await until(() => calls >= 1, "made");
    const before = calls;
    await unlink(path);
    await until(() => calls > before, "removed");
    await writeFile(path, "1");
    await until(() => calls > before + 1, "made again");
  });

  test("its directory made later", async () => {
    const path = join(directory, "a", "b", "policy");
    using _ = await watch(path);
    await mkdir(join(directory, "a", "b"), { recursive: true });
    await writeFile(path, "1");
    await until(() => calls >= 1, "told");
  });

  test("reached through links, one of which is swapped, as Kubernetes does", async () => {
    for (const name of ["v1", "v2"]) {
      await mkdir(join(directory, name));
      await writeFile(join(directory, name, "policy"), name);
    }
    await symlink("v1", join(directory, "..data"));
    await symlink("..data/policy", join(directory, "policy"));
    using _ = await watch(join(directory, "policy"));
    await symlink("v2", join(directory, "..data.new"));
    await rename(join(directory, "..data.new"), join(directory, "..data"));
    await until(() => calls === 1, "told");
    await appendFile(join(directory, "v2", "policy"), "more");
    await until(() => calls === 2, "told of the new target");
  });

  test("a hundred writes in a row are few calls", async () => {
    const path = join(directory, "policy");
    await writeFile(path, "");
    using _ = await watch(path);
    for (let index = 0; index < 100; index++) await appendFile(path, "x");
    await until(() => calls > 0, "told");
    await sleep(100);
    assert.ok(calls < 30, `${calls} calls`);
  });

  test("another file beside it tells nothing", async () => {
    const path = join(directory, "policy");
    await writeFile(path, "1");
    using _ = await watch(path);
    await writeFile(join(directory, "other"), "1");
    await sleep(100);
    assert.equal(calls, 0);
  });

  test("links that lead to themselves end somewhere", async () => {
    await symlink("loop", join(directory, "loop"));
    const points = await watchPoints(join(directory, "loop"));
    assert.ok(points.length < 100);
  });
});

describe("a policy file", () => {
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

  async function follow(path: string, apply = async (_: Policy): Promise<void> => {}) {
    const problems = new Problems();
    const applied: string[] = [];
    const source = await PolicySource.open({
      path,
      read: (file, signal) => readPolicyFile(file, { signal }),
      apply: async (policy) => {
        applied.push(policy.mode);
        await apply(policy);
      },
      problems,
      logger: silent,
      graceMs: 30,
    });
    const codes = (): readonly string[] => problems.with([], { ofFile: true }).map(({ code }) => code);
    return { applied, codes, problems, [Symbol.dispose]: () => source[Symbol.dispose]() };
  }

  test("is applied at the start and whenever it changes", async () => {
    const path = join(directory, "policy.yaml");
    await writeFile(path, "mode: full\n");
    using source = await follow(path);
    await until(() => source.applied.length === 1, "applied");
    await writeFile(path, "mode: visibility\n");
    await until(() => source.applied.at(-1) === "visibility", "applied again");
    assert.deepEqual(source.codes(), []);
  });

  test("missing: told, and applied as soon as it is there", async () => {
    const path = join(directory, "policy.yaml");
    using source = await follow(path);
    await until(() => source.codes().includes("policy-missing"), "told");
    await writeFile(path, "mode: full\n");
    await until(() => source.applied.length > 0, "applied");
    assert.deepEqual(source.codes(), []);
  });

  test("bad: told with the path inside the file, nothing applied, over when it is good again", async () => {
    const path = join(directory, "policy.yaml");
    await writeFile(path, "mode: full\nrules: [ { id: x } ]\n");
    using source = await follow(path);
    await until(() => source.codes().includes("policy-refused"), "told");
    assert.match(source.problems.with([], { ofFile: true })[0]?.message ?? "", /policy\.yaml: rules\[0\]/);
    assert.deepEqual(source.applied, []);
    await writeFile(path, "mode: full\n");
    await until(() => source.applied.length > 0 && source.codes().length === 0, "applied");
  });

  const refusal = new AntennaError({
    code: "version-refused",
    operation: "admit a policy version",
    message: "1.1 is lower than 1.2",
  });

  test("refused by the agent: over when the file is gone, whatever the agent still says", async () => {
    const path = join(directory, "policy.yaml");
    await writeFile(path, "version: 1\nmode: full\n");
    using source = await follow(path, () => Promise.reject(refusal));
    await until(() => source.codes().includes("policy-refused"), "told");
    await unlink(path);
    await until(() => source.codes().includes("policy-missing"), "missing");
    const agents = [{ code: "policy-refused", message: "1.1 is lower than 1.2", since: "" }];
    assert.deepEqual(
      source.problems.with(agents, { ofFile: true }).map(({ code }) => code),
      ["policy-missing"],
    );
  });

  test("refused, then replaced by a good one: over at once, not when that one has settled", async () => {
    const path = join(directory, "policy.yaml");
    await writeFile(path, "version: 1\nmode: full\n");
    using source = await follow(path, (policy) =>
      policy.version === null ? new Promise(() => {}) : Promise.reject(refusal),
    );
    await until(() => source.codes().includes("policy-refused"), "told");
    await writeFile(path, "mode: full\n");
    await until(() => source.applied.length === 2, "offered");
    await until(() => source.codes().length === 0, "over");
  });

  test("refused while the one before is still being applied: that one's end does not hide it", async () => {
    const path = join(directory, "policy.yaml");
    await writeFile(path, "mode: full\n");
    let inForce = (): void => {};
    using source = await follow(path, () => new Promise((resolve) => (inForce = resolve)));
    await until(() => source.applied.length === 1, "offered");
    await writeFile(path, "mode: fulll\n");
    await until(() => source.codes().includes("policy-refused"), "told");
    inForce();
    await sleep(20);
    assert.deepEqual(source.codes(), ["policy-refused"]);
  });

  test("a problem of the agent's is told once, in the words that name the file", () => {
    const problems = new Problems();
    problems.raise("policy-refused", "p.yaml: bad");
    const others = [
      { code: "policy-refused", message: "bad", since: "" },
      { code: "disk-full", message: "full", since: "" },
    ];
    const merged = problems.with(others, { ofFile: true });
    assert.deepEqual(
      merged.map(({ code, message }) => `${code} ${message}`),
      ["policy-refused p.yaml: bad", "disk-full full"],
    );
    // Without a file the agent speaks of what its controller offered.
    const offered = new Problems().with(others, { ofFile: false });
    assert.deepEqual(offered, others);
  });
});

describe("resolvers", () => {
  async function find(files: Record<string, string>): Promise<readonly string[]> {
    return (await findResolvers("/etc/resolv.conf", async (path) => files[path] ?? null)).servers;
  }

  test("are those of resolv.conf, loopback left out", async () => {
    const servers = await find({
      "/etc/resolv.conf": "nameserver 10.0.0.2\nnameserver ::1\nnameserver FD00::2\nsearch x\n",
    });
    assert.deepEqual(servers, ["10.0.0.2", "fd00::2"]);
  });

  test("behind systemd-resolved are its own", async () => {
    const files = {
      "/etc/resolv.conf": "nameserver 127.0.0.53\noptions edns0\n",
      "/run/systemd/resolve/resolv.conf": "nameserver 10.0.0.7\nnameserver fe80::1%eth0\n",
    };
    assert.deepEqual(await find(files), ["10.0.0.7", "fe80::1"]);
  });

  test("behind Docker's are its external servers, but not the host's own stub", async () => {
    const text = "nameserver 127.0.0.11\n# ExtServers: [host(127.0.0.53) 10.0.0.8]\n";
    assert.deepEqual(await find({ "/etc/resolv.conf": text }), ["10.0.0.8"]);
    assert.deepEqual(parseResolvConf(text).servers, ["127.0.0.11"]);
  });

  test("none at all is an empty list", async () => {
    assert.deepEqual(await find({}), []);
  });
});
