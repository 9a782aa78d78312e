import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import {
  AF_NETLINK,
  AttributeReader,
  AttributeWriter,
  KernelSocket,
  LocalAddresses,
  MessageReader,
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  NETLINK_SOCK_DIAG,
  NetlinkError,
  NetlinkSocket,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  type Request,
  SOCK_RAW,
} from "@antenna/netlink";
import { createNamespace, ip } from "../lab/namespace.js";

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const IFA_LOCAL = 2;
const loopback = 1;

/** Gives 10.A.B.C/32 to the loopback interface, or takes it away. */
function address(type: number, index: number, interfaceIndex = loopback): Request {
  const payload = new AttributeWriter()
    .putU8(2)
    .putU8(32)
    .putU8(0)
    .putU8(0)
    .putU32(interfaceIndex)
    .be32(IFA_LOCAL, 0x0a000000 + index)
    .copy();
  return {
    type,
    flags: type === RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0,
    payload,
    operation: `address ${index}`,
  };
}

const dump: Request = { type: RTM_GETADDR, flags: NLM_F_DUMP, payload: new Uint8Array(8) };

function* range(count: number, make: (index: number) => Request): Iterable<Request> {
  for (let index = 1; index <= count; index++) yield make(index);
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !condition(); waited += 5) {
    assert.ok(waited < 10_000, `${what} did not come to pass`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe("requests", () => {
  test("thousands go out many to a system call, and each gets its own answer, in order", async () => {
    await using namespace = await createNamespace();
    using socket = NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace: namespace.path });
    const all = await socket.transact(range(1000, (index) => address(RTM_NEWADDR, index)));
    assert.deepEqual(new Set(all), new Set([null]));
    // Every third is there no more: exactly those are refused when all are deleted.
    await socket.transact(range(333, (index) => address(RTM_DELADDR, index * 3)));
    const results = await socket.transact(range(1000, (index) => address(RTM_DELADDR, index)));
    assert.equal(results.length, 1000);
    for (const [index, result] of results.entries()) {
      const there = (index + 1) % 3 !== 0;
      assert.equal(result === null, there, `address ${index + 1}: ${result?.message}`);
      if (result !== null)
        assert.ok(result.message.startsWith(`address ${index + 1}: EADDRNOTAVAIL`), result.message);
    }
  });

  test("a refusal carries the words of the kernel (extended acknowledgement)", async () => {
    await using namespace = await createNamespace();
    using socket = NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace: namespace.path });
    const [result] = await socket.transact([address(RTM_NEWADDR, 1, 4711)]);
    assert.ok(result instanceof NetlinkError);
    assert.equal(result.code, "refused");
    assert.match(result.message, /^address 1: ENODEV \(no such device\): .*[Dd]evice/);
  });

  test("one generator may write every request into one buffer", async () => {
    await using namespace = await createNamespace();
    using socket = NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace: namespace.path });
    const writer = new AttributeWriter();
    const results = await socket.transact(
      range(300, (index) => {
        const { payload, ...rest } = address(RTM_NEWADDR, index);
        return { ...rest, payload: writer.reset().putBytes(payload).view() };
      }),
    );
    assert.ok(results.every((result) => result === null));
    const there = await new LocalAddresses(socket).list();
    assert.equal(there.filter(({ address }) => address[0] === 10).length, 300);
  });

  test("a query that is refused rejects with the errno", async () => {
    await using namespace = await createNamespace();
    using socket = NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace: namespace.path });
    await assert.rejects(
      socket.query({ ...dump, type: 999 }, () => undefined),
      { code: "refused" },
    );
    // The socket is none the worse for it.
    let messages = 0;
    await socket.query(dump, () => void messages++);
    assert.ok(messages >= 1);
  });

  test("a long answer waits for a slow consumer, whose callbacks may send requests meanwhile", async () => {
    await using namespace = await createNamespace();
    using socket = NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace: namespace.path });
    await socket.transact(range(3000, (index) => address(RTM_NEWADDR, index)));
    let batches = 0;
    let inside = false;
    const seen = new Set<string>();
    await socket
      .query(
        dump,
        ({ bytes, start, end }) => {
          assert.equal(inside, false, "a message came while the batch before was still being worked on");
          const reader = new AttributeReader(bytes, start + 8, end);
          while (reader.next()) if (reader.type === IFA_LOCAL) seen.add([...reader.bytes()].join("."));
        },
        {
          onBatch: async () => {
            inside = true;
            batches++;
            // A query inside a query, and a request: neither may wait for the outer one to end.
            await socket.query({ ...dump, payload: Uint8Array.of(10, 0, 0, 0, 0, 0, 0, 0) }, () => undefined);
            await socket.transact([address(RTM_DELADDR, 1)]);
            await new Promise((resolve) => setTimeout(resolve, 5));
            inside = false;
          },
        },
      )
      .catch((error: unknown) => {
        // The address that went meanwhile may show: then the kernel says that the dump is no snapshot.
        if (!(error instanceof NetlinkError && error.code === "dump-interrupted")) throw error;
      });
    assert.ok(batches > 1, `one batch only: ${seen.size} addresses`);
    assert.ok(seen.size >= 3000, `${seen.size}`);
  });

  test("abort and close end what is under way, with their own codes", async () => {
    await using namespace = await createNamespace();
    const socket = NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace: namespace.path });
    const abort = new AbortController();
    const many = socket.transact(
      range(200_000, (index) => {
        if (index === 1000) abort.abort();
        return address(RTM_DELADDR, index);
      }),
      { signal: abort.signal },
    );
    await assert.rejects(many, { code: "aborted" });
    const cut = socket.transact(
      range(200_000, (index) => {
        if (index === 1000) socket.close();
        return address(RTM_DELADDR, index);
      }),
    );
    const waiting = socket.transact([address(RTM_NEWADDR, 1)]);
    await assert.rejects(cut, { code: "closed" });
    await assert.rejects(waiting, { code: "closed" });
    socket.close();
    await assert.rejects(
      socket.query(dump, () => undefined),
      { code: "closed" },
    );
    assert.throws(() => socket.listen([5], { message() {}, overflow() {} }), { code: "closed" });
  });

  test("a refused system call says which, and on what", () => {
    assert.throws(() => NetlinkSocket.open({ protocol: 0, namespace: "/run/netns/there-is-none" }), {
      code: "refused",
      errno: 2,
      message: "open namespace /run/netns/there-is-none: ENOENT (no such file or directory)",
    });
    assert.throws(() => NetlinkSocket.open({ protocol: 0, namespace: "/etc/hostname" }), {
      code: "refused",
      errno: 22,
      message: "setns /etc/hostname: EINVAL (invalid argument)",
    });
    assert.throws(() => NetlinkSocket.open({ protocol: 31 }), { code: "refused", errno: 93 });
    assert.throws(() => NetlinkSocket.open({ protocol: 0, messageBytes: 10 }), TypeError);
  });
});

describe("network namespaces", () => {
  test("two sockets of one process live in two namespaces, and the process in neither", async () => {
    await using one = await createNamespace();
    await using two = await createNamespace();
    await one.exec(ip, ["address", "add", "198.18.77.1/32", "dev", "lo"]);
    await two.exec(ip, ["address", "add", "198.18.77.2/32", "dev", "lo"]);
    using own = NetlinkSocket.open({ protocol: NETLINK_ROUTE });
    using first = NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace: one.path });
    using second = NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace: two.path });
    using self = NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace: "/proc/self/ns/net" });
    const addresses = await Promise.all(
      [own, first, second, self].map(async (socket) =>
        (await new LocalAddresses(socket).list()).map(({ address }) => address.join(".")),
      ),
    );
    assert.deepEqual(
      addresses.map((list) => [list.includes("198.18.77.1"), list.includes("198.18.77.2")]),
      [
        [false, false],
        [true, false],
        [false, true],
        [false, false],
      ],
    );
    assert.deepEqual(addresses[0], addresses[3]);
  });

  test("the path may go, or lead elsewhere: a socket stays where it is, and so do its listeners", async () => {
    await using namespace = await createNamespace();
    await namespace.exec(ip, ["address", "add", "198.18.77.1/32", "dev", "lo"]);
    const other = await createNamespace();
    using socket = NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace: other.path, coalesceMs: 0 });
    await socket.transact([address(RTM_NEWADDR, 7)]);
    await other[Symbol.asyncDispose]();
    let heard = 0;
    socket.listen([5], { message: () => void heard++, overflow() {} });
    const list = await new LocalAddresses(socket).list();
    assert.ok(list.some(({ address }) => address.join(".") === "10.0.0.7"));
    await socket.transact([address(RTM_NEWADDR, 8)]);
    await until(() => heard === 1, "the change");
  });
});

describe("listening", () => {
  test("changes are heard, together when they come together, until the listener is disposed", async () => {
    await using namespace = await createNamespace();
    using socket = NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace: namespace.path, coalesceMs: 30 });
    const addresses = new LocalAddresses(socket);
    let changes = 0;
    const watch = addresses.watch(() => void changes++);
    await socket.transact(range(20, (index) => address(RTM_NEWADDR, index)));
    await until(() => changes === 20, "20 changes");
    watch[Symbol.dispose]();
    await socket.transact([address(RTM_DELADDR, 1)]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(changes, 20);
    const list = await addresses.list();
    assert.equal(list.filter(({ address, prefix }) => address[0] === 10 && prefix === 32).length, 19);
    assert.ok(list.some(({ family, address }) => family === 6 && address.at(-1) === 1));
  });

  test("an overflow is told and counted, and afterwards everything is heard again", async () => {
    await using namespace = await createNamespace();
    using socket = NetlinkSocket.open({
      protocol: NETLINK_ROUTE,
      namespace: namespace.path,
      receiveBufferBytes: 8192,
      coalesceMs: 5,
    });
    let overflows = 0;
    const heard = new Set<string>();
    const subscription = socket.listen([5], {
      message: ({ bytes, start, end }) => {
        const reader = new AttributeReader(bytes, start + 8, end);
        while (reader.next()) if (reader.type === IFA_LOCAL) heard.add([...reader.bytes()].join("."));
      },
      overflow: () => void overflows++,
    });
    for (let round = 1; round <= 5; round++) {
      const before = { overflows, drops: subscription.drops };
      heard.clear();
      const results = await socket.transact(range(500, (index) => address(RTM_NEWADDR, index)));
      assert.ok(results.every((result) => result === null));
      await until(() => overflows > before.overflows, `overflow ${round}`);
      // Exactly what the kernel counted as dropped was not heard.
      await until(
        () => heard.size + subscription.drops - before.drops === 500,
        `the count of round ${round}`,
      );
      assert.ok(heard.size < 500);
      heard.clear();
      await socket.transact([address(RTM_NEWADDR, 1000 + round)]);
      await until(
        () => heard.has(`10.0.${(1000 + round) >> 8}.${(1000 + round) & 255}`),
        "an event after the overflow",
      );
      await socket.transact(range(500, (index) => address(RTM_DELADDR, index)));
      await until(() => subscription.drops > 0, "drops");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });

  test("a message from a process, not from the kernel, is not believed", async () => {
    await using namespace = await createNamespace();
    const open = (): KernelSocket =>
      KernelSocket.open({
        family: AF_NETLINK,
        type: SOCK_RAW,
        protocol: NETLINK_NETFILTER,
        namespace: namespace.path,
      });
    using victim = open();
    using forger = open();
    const unbound = new Uint8Array(12);
    unbound[0] = AF_NETLINK;
    victim.bind(unbound);
    const name = victim.name();
    const forged = new Uint8Array(20);
    new DataView(forged.buffer).setUint32(0, 20, true);
    assert.equal(forger.send(forged, forged.length, name), true);
    const lengths = new Int32Array(4);
    const bytes = new Uint8Array(4096);
    assert.equal(victim.receive(bytes, 1024, lengths), 1);
    assert.equal(lengths[0], 0);
    assert.equal(new MessageReader(bytes, 0, lengths[0]).next(), false);
  });

  test("a datagram longer than its slot is told by its true length", async () => {
    await using namespace = await createNamespace();
    using socket = KernelSocket.open({
      family: AF_NETLINK,
      type: SOCK_RAW,
      protocol: NETLINK_ROUTE,
      namespace: namespace.path,
    });
    const kernel = new Uint8Array(12);
    kernel[0] = AF_NETLINK;
    const request = new Uint8Array(24);
    const view = new DataView(request.buffer);
    view.setUint32(0, 24, true);
    view.setUint16(4, RTM_GETADDR, true);
    view.setUint16(6, 0x301, true);
    socket.send(request, request.length, kernel);
    const lengths = new Int32Array(1);
    assert.equal(socket.receive(new Uint8Array(32), 32, lengths), 1);
    assert.ok((lengths[0] ?? 0) < -32, `${lengths[0]}`);
  });
});

describe("lifetime", () => {
  test("a closed socket refuses everything, and closing twice is nothing", () => {
    const socket = KernelSocket.open({ family: AF_NETLINK, type: SOCK_RAW, protocol: NETLINK_SOCK_DIAG });
    socket.watch(0, () => false);
    assert.throws(() => socket.watch(0, () => false), { code: "refused", errno: 16 });
    socket.close();
    socket.close();
    socket.unwatch();
    assert.equal(socket.closed, true);
    assert.throws(() => socket.name(), { code: "closed" });
    assert.throws(() => socket.receive(new Uint8Array(8), 8, new Int32Array(1)), { code: "closed" });
  });

  test("a worker that ends, or is ended, while it listens, leaves the process whole", async () => {
    const url = new URL(import.meta.resolve("@antenna/netlink")).href;
    for (const end of ["return", "exit", "terminate"]) {
      const code = `
        import { NetlinkSocket } from ${JSON.stringify(url)};
        import { parentPort } from "node:worker_threads";
        const socket = NetlinkSocket.open({ protocol: 0, keepAlive: false });
        for (let i = 0; i < 5; i++) socket.listen([5], { message() {}, overflow() {} });
        parentPort.postMessage("ready");
        if (${JSON.stringify(end)} === "exit") process.exit(0);
        if (${JSON.stringify(end)} === "terminate") setInterval(() => {}, 1000);`;
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
      worker.on("message", () => {
        if (end === "terminate") void worker.terminate();
      });
      await new Promise((resolve, reject) => {
        worker.on("exit", resolve);
        worker.on("error", reject);
      });
    }
  });
});
