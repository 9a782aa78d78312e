import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { AntennaError } from "@antenna/sdk";
import { UnansweredError } from "@antenna/sdk/control-socket";
import { ask } from "@antenna/sdk/internal/control-socket/client.js";
import {
  LineSplitter,
  longestLine,
  ProtocolError,
  parseAnswer,
  parseRequest,
} from "@antenna/sdk/internal/control-socket/protocol.js";
import { type ControlHandler, ControlServer } from "@antenna/sdk/internal/control-socket/server.js";
import fc from "fast-check";

const whoAnswers = { name: "daemon", start: "start one" };
const seed = Number(process.env.ANTENNA_SEED ?? Date.now() % 2 ** 31);
console.log(`seed ${seed}`);

let directory = "";
let sockets = 0;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "antenna-control-"));
});
after(() => rm(directory, { recursive: true, force: true }));

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

async function serve(
  handler: ControlHandler,
  options: { maxClients?: number; patienceMs?: number } = {},
): Promise<AsyncDisposable & { readonly path: string }> {
  const path = join(directory, `${sockets++}.sock`);
  const server = await ControlServer.listen({ path, handler, logger: silent, ...options });
  return { path, [Symbol.asyncDispose]: () => server.close() };
}

describe("lines", () => {
  test("come out as they went in, however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\n", ""))),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        (lines, cuts) => {
          const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
          const splitter = new LineSplitter();
          const out: string[] = [];
          for (let at = 0, turn = 0; at < bytes.length; turn++) {
            const length = cuts[turn % cuts.length] ?? 1;
            out.push(...splitter.push(bytes.subarray(at, at + length)));
            at += length;
          }
          assert.deepEqual(out, lines);
        },
      ),
      { seed },
    );
  });

  test("one without an end is refused before it is held", () => {
    const splitter = new LineSplitter();
    const chunk = Buffer.alloc(64 * 1024, "x");
    assert.throws(() => {
      for (let bytes = 0; bytes <= longestLine; bytes += chunk.length) [...splitter.push(chunk)];
    }, ProtocolError);
  });

  test("whatever they hold, parsers give a message or a ProtocolError", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
        for (const parse of [parseRequest, parseAnswer]) {
          try {
            parse(line);
          } catch (reason) {
            assert.ok(reason instanceof ProtocolError, String(reason));
          }
        }
      }),
      { seed },
    );
  });
});

describe("the control socket", () => {
  test("answers, and names what the request asked", async () => {
    await using server = await serve(async ({ method, params }) => ({ method, params }));
    const answer = await ask({
      server: whoAnswers,
      path: server.path,
      method: "explain",
      params: { port: 80 },
    });
    assert.deepEqual(answer, { method: "explain", params: { port: 80 } });
  });

  test("is made for its owner alone", async () => {
    const before = process.umask(0o077);
    await using server = await serve(async () => null);
    process.umask(before);
    assert.equal((await stat(server.path)).mode & 0o777, 0o600);
  });

  test("a body that can't be read to its end fails at once", async () => {
    await using server = await serve(async ({ body }) => {
      for await (const _ of body);
    });
    async function* torn(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("mode:");
      throw new Error("EIO: i/o error, read");
    }
    await assert.rejects(
      ask({ server: whoAnswers, path: server.path, method: "policy-preview", body: torn() }),
      /EIO/,
    );
  });

  test("an error crosses with everything that was said about it", async () => {
    const error = new AntennaError({
      code: "kernel-refused",
      operation: "apply",
      message: "refused",
      detail: "iptables: no",
      problems: [{ path: "rules[0]", problem: "bad" }],
    });
    await using server = await serve(async () => {
      throw error;
    });
    await assert.rejects(ask({ server: whoAnswers, path: server.path, method: "x" }), (reason) => {
      assert.ok(reason instanceof AntennaError);
      assert.deepEqual(
        [reason.code, reason.operation, reason.message, reason.detail, reason.problems],
        [error.code, error.operation, error.message, error.detail, error.problems],
      );
      return true;
    });
  });

  test("a body arrives whole, binary included, and the next request is in step", async () => {
    await using server = await serve(async ({ body }) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) chunks.push(chunk);
      return Buffer.concat(chunks).toString("hex");
    });
    const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7) % 256));
    const answer = await ask({ server: whoAnswers, path: server.path, method: "x", body: chunked(bytes) });
    assert.equal(answer, bytes.toString("hex"));
  });

  test("a body that the handler leaves unread does not disturb its answer", async () => {
    await using server = await serve(async () => "refused early");
    assert.equal(
      await ask({ server: whoAnswers, path: server.path, method: "x", body: chunked(Buffer.alloc(500_000)) }),
      "refused early",
    );
  });

  test("a long answer waits for a slow reader, and holds little meanwhile", async () => {
    let written = 0;
    const piece = "ä😀x".repeat(10_000);
    await using server = await serve(async (call) => {
      for (let index = 0; index < 200; index++) {
        await call.write(piece);
        written += piece.length;
      }
      return null;
    });
    let read = 0;
    let ahead = 0;
    await ask({
      server: whoAnswers,
      path: server.path,
      method: "x",
      onText: async (text) => {
        if (read === 0) await sleep(100);
        read += text.length;
        ahead = Math.max(ahead, written - read);
      },
    });
    assert.equal(read, piece.length * 200);
    assert.ok(ahead < 3_000_000, `${ahead} characters were held`);
  });

  test("nobody there: UnansweredError", async () => {
    await assert.rejects(
      ask({ server: whoAnswers, path: join(directory, "nobody.sock"), method: "x" }),
      UnansweredError,
    );
  });

  test("a daemon that dies before it answers: UnansweredError", async () => {
    await using server = await serve((call) => once(call.signal, "abort"));
    const asked = ask({ server: whoAnswers, path: server.path, method: "x" });
    await Promise.all([
      assert.rejects(asked, (reason) => reason instanceof UnansweredError || reason instanceof AntennaError),
      sleep(50).then(() => server[Symbol.asyncDispose]()),
    ]);
  });

  test("the seventeenth client is told so, the sixteen stay served", async () => {
    await using server = await serve(async () => "served");
    const clients = await Promise.all(Array.from({ length: 16 }, () => open(server.path)));
    await sleep(50);
    await assert.rejects(
      ask({ server: whoAnswers, path: server.path, method: "x" }),
      (reason) => reason instanceof AntennaError && reason.code === "busy",
    );
    for (const client of clients) assert.match(await talk(client, '{"method":"x"}\n'), /served/);
    clients[0]?.destroy();
    await sleep(50);
    assert.equal(await ask({ server: whoAnswers, path: server.path, method: "x" }), "served");
    for (const client of clients) client.destroy();
  });

  test("a client that says nothing is dropped", async () => {
    await using server = await serve(async () => null, { patienceMs: 50 });
    const client = await open(server.path);
    await once(client, "close");
  });

  for (const [what, bytes] of [
    ["no JSON", "hello\n"],
    ["no object", "[]\n"],
    ["no method", "{}\n"],
    ["a method out of __proto__", '{"method":"__proto__"}\n'],
    ["params that are a list", '{"method":"x","params":[]}\n'],
    ["a line without end", "x".repeat(longestLine + 10)],
    ["a body that is none", '{"method":"x","body":true}\n{"nonsense":1}\n'],
  ] as const) {
    test(`${what}: one error, then the connection ends, others go on`, async () => {
      await using server = await serve(async ({ body }) => {
        for await (const _ of body);
        return "served";
      });
      const client = await open(server.path);
      const closed = once(client, "close");
      assert.match(await talk(client, bytes), /"error"/);
      await closed;
      assert.equal(await ask({ server: whoAnswers, path: server.path, method: "x" }), "served");
    });
  }

  test("random bytes from many clients at once leave it serving", async () => {
    await using server = await serve(async () => "served");
    const junk = fc.sample(fc.uint8Array({ maxLength: 5_000 }), { numRuns: 60, seed });
    for (let at = 0; at < junk.length; at += 10) {
      await Promise.all(
        junk.slice(at, at + 10).map(async (bytes) => {
          const client = await open(server.path);
          client.on("error", () => undefined);
          client.end(bytes);
          client.resume();
          await once(client, "close");
        }),
      );
    }
    assert.equal(await ask({ server: whoAnswers, path: server.path, method: "x" }), "served");
  });
});

async function* chunked(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000);
}

async function open(path: string): Promise<Socket> {
  const socket = connect({ path });
  await once(socket, "connect");
  return socket;
}

async function talk(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const [data] = (await once(socket, "data")) as [Buffer];
  return data.toString();
}
