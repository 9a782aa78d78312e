import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import {
  AF_UNIX,
  FileLock,
  KernelSocket,
  lockHolder,
  NamespaceClaim,
  NetlinkError,
  notifyServiceManager,
  SO_PEERCRED,
  SOCK_DGRAM,
  SOL_SOCKET,
  sendDatagram,
} from "@antenna/netlink";
import { createNamespace, uniqueName } from "../lab/namespace.js";

const run = promisify(execFile);
const library = import.meta.resolve("@antenna/netlink");

function unixAddress(name: string): Uint8Array {
  const text = name.startsWith("@") ? `\0${name.slice(1)}` : `${name}\0`;
  return Uint8Array.from([AF_UNIX, 0, ...Buffer.from(text)]);
}

/** Another process that runs a piece of code with the library, says "ready", and lives until it is killed. */
async function other(code: string, options: { readonly uid?: number } = {}): Promise<ChildProcess> {
  const text = `import * as netlink from ${JSON.stringify(library)};\n${code}\nconsole.log("ready");\nsetInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", text], {
    stdio: ["ignore", "pipe", "inherit"],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid, cwd: "/" }),
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once("data", () => resolve());
    child.once("exit", (code) => reject(new Error(`it ended with ${code}`)));
  });
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}

describe("the service manager", () => {
  for (const kind of ["path", "abstract name"]) {
    test(`hears READY=1 from this very process, by ${kind}`, async () => {
      const folder = await mkdtemp(join(tmpdir(), "notify-"));
      const name = kind === "path" ? join(folder, "socket") : `@${uniqueName("ant")}`;
      try {
        using receiver = KernelSocket.open({ family: AF_UNIX, type: SOCK_DGRAM });
        receiver.bind(unixAddress(name));
        assert.equal(await notifyServiceManager("READY=1\nSTATUS=in force", name), true);
        const bytes = new Uint8Array(256);
        const lengths = new Int32Array(1);
        assert.equal(receiver.receive(bytes, 256, lengths), 1);
        assert.equal(Buffer.from(bytes.subarray(0, lengths[0])).toString(), "READY=1\nSTATUS=in force");
      } finally {
        await rm(folder, { recursive: true });
      }
    });
  }

  test("is not there, or is gone: said, not thrown about", async () => {
    assert.equal(await notifyServiceManager("READY=1", undefined), false);
    assert.equal(await notifyServiceManager("READY=1", "vsock:2:1234"), false);
    await assert.rejects(notifyServiceManager("READY=1", `@${uniqueName("gone")}`), {
      code: "refused",
      errno: 111,
    });
    await assert.rejects(sendDatagram("/run/there-is-none", new Uint8Array(1)), {
      code: "refused",
      errno: 2,
    });
    await assert.rejects(sendDatagram(`/${"x".repeat(200)}`, new Uint8Array(1)), RangeError);
  });

  test("that does not read is waited for, and given up", async () => {
    const name = `@${uniqueName("ant")}`;
    using receiver = KernelSocket.open({ family: AF_UNIX, type: SOCK_DGRAM });
    receiver.bind(unixAddress(name));
    const fill = async (): Promise<void> => {
      for (;;) await sendDatagram(name, Uint8Array.of(1));
    };
    await assert.rejects(fill(), { code: "refused", errno: 11 });
    const reading = setTimeout(() => receiver.receive(new Uint8Array(64), 1, new Int32Array(64)), 100);
    await sendDatagram(name, Uint8Array.of(1));
    clearTimeout(reading);
  });
});

describe("a lock on a file", () => {
  test("excludes another process, which is named, and is free when that is killed", async () => {
    const folder = await mkdtemp(join(tmpdir(), "lock-"));
    const path = join(folder, "lock");
    const holder = await other(`globalThis.lock = await netlink.FileLock.acquire(${JSON.stringify(path)});`);
    try {
      await assert.rejects(FileLock.acquire(path), (error) => {
        assert.ok(error instanceof NetlinkError);
        assert.equal(error.errno, 11);
        assert.equal(error.holder?.pid, holder.pid);
        assert.equal(error.holder?.uid, 0);
        assert.match(
          error.message,
          new RegExp(`flock ${path}: held by process ${holder.pid} \\(\\S+\\), uid 0; waited`),
        );
        return true;
      });
      const waiting = FileLock.acquire(path, { timeoutMs: 20_000, pollMs: 5 });
      await kill(holder);
      const lock = await waiting;
      assert.equal((await lockHolder(path))?.pid, process.pid);
      await lock.release();
      await lock.release();
      assert.equal(await lockHolder(path), null);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("excludes this process too, keeps flock(1) out, and gives up in time", async () => {
    const folder = await mkdtemp(join(tmpdir(), "lock-"));
    const path = join(folder, "lock");
    try {
      await using lock = await FileLock.acquire(path);
      assert.equal(lock.path, path);
      await assert.rejects(FileLock.acquire(path, { timeoutMs: 50, pollMs: 5 }), { errno: 11 });
      await assert.rejects(FileLock.acquire(path, { timeoutMs: 60_000, signal: AbortSignal.timeout(50) }), {
        code: "aborted",
      });
      await assert.rejects(run("/usr/bin/flock", ["--nonblock", path, "/bin/true"]));
      await lock.release();
      await run("/usr/bin/flock", ["--nonblock", path, "/bin/true"]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("of a file that was replaced meanwhile is a lock on the new file", async () => {
    const folder = await mkdtemp(join(tmpdir(), "lock-"));
    const path = join(folder, "lock");
    try {
      const old = await FileLock.acquire(path);
      const waiting = FileLock.acquire(path, { timeoutMs: 10_000, pollMs: 5 });
      await writeFile(join(folder, "new"), "");
      await rename(join(folder, "new"), path);
      await using lock = await waiting;
      await old.release();
      await assert.rejects(FileLock.acquire(path), { errno: 11 });
      assert.ok(lock);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("that can't be made says why", async () => {
    await assert.rejects(FileLock.acquire("/proc/there/is/none"), { code: "ENOENT" });
    const folder = await mkdtemp(join(tmpdir(), "lock-"));
    try {
      await symlink("loop", join(folder, "loop"));
      await assert.rejects(FileLock.acquire(join(folder, "loop")), { code: "ELOOP" });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("a claim on a network namespace", () => {
  test("is exclusive in its namespace only, and names its holder", async () => {
    await using one = await createNamespace();
    await using two = await createNamespace();
    const name = uniqueName("claim");
    const holder = await other(
      `globalThis.claim = await netlink.NamespaceClaim.take({ name: "${name}", namespace: "${one.path}" });`,
    );
    try {
      // Many who ask do not fill the holder's queue.
      for (let attempt = 0; attempt < 200; attempt++) {
        await assert.rejects(NamespaceClaim.take({ name, namespace: one.path }), (error) => {
          assert.ok(error instanceof NetlinkError);
          assert.equal(error.errno, 98);
          assert.equal(error.holder?.pid, holder.pid);
          assert.match(
            error.message,
            new RegExp(`^claim ${name} in ${one.path}: held by process ${holder.pid} \\(`),
          );
          return true;
        });
      }
      using elsewhere = await NamespaceClaim.take({ name, namespace: two.path });
      using own = await NamespaceClaim.take({ name });
      assert.ok(elsewhere && own);
    } finally {
      await kill(holder);
    }
    using free = await NamespaceClaim.take({ name, namespace: one.path });
    assert.ok(free);
  });

  test("can't be kept from root by a user who took the name first, and holds all the same", async () => {
    const name = uniqueName("claim");
    const squatter = await other(
      `const socket = netlink.KernelSocket.open({ family: 1, type: 1 });
       socket.bind(Uint8Array.from([1, 0, 0, ...Buffer.from("${name}")])); socket.listen(5); globalThis.socket = socket;`,
      { uid: 65534 },
    );
    try {
      const claim = await NamespaceClaim.take({ name });
      await assert.rejects(NamespaceClaim.take({ name }), (error) => {
        assert.ok(error instanceof NetlinkError);
        assert.equal(error.holder?.pid, process.pid);
        return true;
      });
      // The name comes free, the claim stands under another place: it holds nevertheless.
      await kill(squatter);
      await assert.rejects(NamespaceClaim.take({ name }), { errno: 98 });
      claim.close();
      claim.close();
      using again = await NamespaceClaim.take({ name });
      assert.ok(again);
    } finally {
      if (squatter.exitCode === null && squatter.signalCode === null) await kill(squatter);
    }
  });

  test("does not keep the process alive, and a process that ends gives it back", async () => {
    const name = uniqueName("claim");
    const text = `import { NamespaceClaim } from ${JSON.stringify(library)}; await NamespaceClaim.take({ name: "${name}" });`;
    await run(process.execPath, ["--input-type=module", "--eval", text], { timeout: 20_000 });
    using claim = await NamespaceClaim.take({ name });
    assert.ok(claim);
    const table = await readFile("/proc/self/net/unix", "latin1");
    assert.equal(table.split("\n").filter((line) => line.endsWith(`@${name}`)).length, 1);
  });
});

test("options are read and written through the caller's bytes", () => {
  using socket = KernelSocket.open({ family: AF_UNIX, type: SOCK_DGRAM });
  assert.ok(socket.setReceiveBuffer(1 << 20) >= 1 << 20);
  const credentials = new Uint8Array(12);
  assert.equal(socket.getOption(SOL_SOCKET, SO_PEERCRED, credentials), 12);
  assert.throws(() => socket.getOption(SOL_SOCKET, 9999, credentials), { code: "refused", errno: 92 });
});
