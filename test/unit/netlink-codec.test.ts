import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  AttributeReader,
  AttributeWriter,
  MessageReader,
  NetlinkError,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_DONE,
  NLMSG_ERROR,
  readAcknowledgement,
} from "@antenna/netlink";
import fc from "fast-check";
import { runSeed } from "./random.js";

const seed = runSeed("netlink codec");
const type = fc.integer({ min: 1, max: 0x3fff });

/** A tree of attributes, and how each is written and read back. */
type Tree =
  | { readonly kind: "u8" | "u16" | "u32" | "be16" | "be32"; readonly type: number; readonly value: number }
  | { readonly kind: "u64" | "be64"; readonly type: number; readonly value: bigint }
  | { readonly kind: "bytes"; readonly type: number; readonly value: Uint8Array }
  | { readonly kind: "string"; readonly type: number; readonly value: string }
  | { readonly kind: "flag"; readonly type: number }
  | { readonly kind: "nest"; readonly type: number; readonly value: readonly Tree[] };

function number(kind: "u8" | "u16" | "u32" | "be16" | "be32", bits: number): fc.Arbitrary<Tree> {
  return fc.record({ kind: fc.constant(kind), type, value: fc.integer({ min: 0, max: 2 ** bits - 1 }) });
}

const { tree } = fc.letrec<{ tree: Tree; forest: readonly Tree[] }>((tie) => ({
  tree: fc.oneof(
    { depthSize: "small" },
    number("u8", 8),
    number("u16", 16),
    number("u32", 32),
    number("be16", 16),
    number("be32", 32),
    fc.record({
      kind: fc.constantFrom("u64" as const, "be64" as const),
      type,
      value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    }),
    fc.record({ kind: fc.constant("bytes" as const), type, value: fc.uint8Array({ maxLength: 40 }) }),
    fc.record({
      kind: fc.constant("string" as const),
      type,
      value: fc.string({ unit: "grapheme", maxLength: 20 }).filter((text) => !text.includes("\0")),
    }),
    fc.record({ kind: fc.constant("flag" as const), type }),
    fc.record({ kind: fc.constant("nest" as const), type, value: tie("forest") }),
  ),
  forest: fc.array(tie("tree"), { maxLength: 5 }),
}));

function write(writer: AttributeWriter, one: Tree): void {
  switch (one.kind) {
    case "u64":
    case "be64":
      writer[one.kind](one.type, one.value);
      return;
    case "bytes":
      writer.bytes(one.type, one.value);
      return;
    case "string":
      writer.string(one.type, one.value);
      return;
    case "flag":
      writer.flag(one.type);
      return;
    case "nest":
      writer.nest(one.type, () => {
        for (const child of one.value) write(writer, child);
      });
      return;
    default:
      writer[one.kind](one.type, one.value);
  }
}

function check(reader: AttributeReader, one: Tree): void {
  assert.equal(reader.next(), true);
  assert.equal(reader.type, one.type);
  assert.equal(reader.nested, one.kind === "nest");
  switch (one.kind) {
    case "bytes":
      assert.deepEqual(reader.copy(one.value.length), one.value);
      return;
    case "flag":
      assert.equal(reader.length, 0);
      return;
    case "nest": {
      const child = reader.enter();
      for (const inner of one.value) check(child, inner);
      assert.equal(child.next(), false);
      return;
    }
    default:
      assert.equal(reader[one.kind](), one.value);
  }
}

/** Walks whatever bytes there are as a hostile kernel would have them, reading every attribute in every way. */
function walk(bytes: Uint8Array): number {
  let steps = 0;
  const attempt = (read: () => unknown): void => {
    try {
      read();
    } catch (error) {
      if (!(error instanceof NetlinkError && error.code === "malformed")) throw error;
    }
  };
  const attributes = (reader: AttributeReader, depth: number): void => {
    while (reader.next()) {
      steps++;
      const words = new Uint32Array(4);
      for (const read of [
        () => reader.u8(),
        () => reader.u16(),
        () => reader.u32(),
        () => reader.u64(),
        () => reader.be16(),
        () => reader.be32(),
        () => reader.be64(),
        () => reader.be64Number(),
        () => reader.be128(words),
        () => reader.string(),
        () => reader.bytes(),
        () => reader.copy(4),
      ]) {
        attempt(read);
      }
      assert.ok(reader.start >= 0 && reader.start <= reader.end && reader.end <= bytes.length);
      if (depth < 4) attempt(() => attributes(reader.enter(), depth + 1));
    }
  };
  attempt(() => {
    const messages = new MessageReader(bytes);
    while (messages.next()) {
      steps++;
      assert.ok(messages.start <= messages.end && messages.end <= bytes.length);
      attempt(() => readAcknowledgement(messages, "fuzz"));
      attempt(() => attributes(new AttributeReader(bytes, messages.start, messages.end), 0));
    }
  });
  attempt(() => attributes(new AttributeReader(bytes), 0));
  return steps;
}

describe("attributes", () => {
  test("what is written is read back, at any alignment of the bytes it stands in", () => {
    fc.assert(
      fc.property(fc.array(tree, { maxLength: 8 }), fc.integer({ min: 0, max: 7 }), (forest, offset) => {
        const writer = new AttributeWriter(1);
        for (const one of forest) write(writer, one);
        assert.equal(writer.length % 4, 0);
        const surroundings = new Uint8Array(writer.length + offset + 9).fill(0xee);
        surroundings.set(writer.view(), offset);
        const reader = new AttributeReader(surroundings, offset, offset + writer.length);
        for (const one of forest) check(reader, one);
        assert.equal(reader.next(), false);
      }),
      { seed, numRuns: 500 },
    );
  });

  test("a writer that is used again shows nothing of what it wrote before", () => {
    const writer = new AttributeWriter();
    writer.bytes(1, new Uint8Array(40).fill(0xff));
    writer.reset().u8(1, 5).string(2, "a");
    assert.deepEqual(
      [...writer.view()],
      [...[5, 0, 1, 0], ...[5, 0, 0, 0], ...[6, 0, 2, 0], ...[0x61, 0, 0, 0]],
    );
  });

  test("what cannot be said in netlink is refused when it is written", () => {
    const writer = new AttributeWriter();
    assert.throws(() => writer.bytes(1, new Uint8Array(65_532)), RangeError);
    assert.throws(() => writer.string(1, "a\0b"), RangeError);
    writer.reset();
    const opened = writer.open(1);
    writer.bytes(2, new Uint8Array(40_000)).bytes(3, new Uint8Array(40_000));
    assert.throws(() => writer.close(opened), RangeError);
    assert.throws(() => writer.truncate(-1), RangeError);
    assert.equal(writer.truncate(opened).length, 0);
  });

  test("a length that leaves what encloses it is refused, a short value too", () => {
    const long = Uint8Array.of(9, 0, 1, 0, 1, 2, 3, 4);
    assert.throws(() => new AttributeReader(long).next(), { code: "malformed" });
    const short = Uint8Array.of(3, 0, 1, 0);
    assert.throws(() => new AttributeReader(short).next(), { code: "malformed" });
    const reader = new AttributeReader(Uint8Array.of(6, 0, 1, 0, 1, 2, 0, 0));
    assert.equal(reader.next(), true);
    assert.equal(reader.u16(), 0x0201);
    assert.throws(() => reader.u32(), { code: "malformed" });
    assert.throws(() => reader.copy(4), { code: "malformed" });
    assert.throws(() => new AttributeReader(long, 4, 12), { code: "malformed" });
  });
});

describe("messages", () => {
  test("a message that says it is longer than the datagram, or shorter than its header, is refused", () => {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    for (const length of [15, 17, 0, 0xffff_ffff]) {
      view.setUint32(0, length, true);
      assert.throws(() => new MessageReader(bytes).next(), { code: "malformed" }, String(length));
    }
    view.setUint32(0, 16, true);
    const reader = new MessageReader(bytes);
    assert.equal(reader.next(), true);
    assert.deepEqual([reader.start, reader.end], [16, 16]);
    assert.equal(reader.next(), false);
  });

  test("hostile bytes give `malformed` and nothing else, and every walk ends", () => {
    let steps = 0;
    const seeds = fc.array(tree, { maxLength: 6 }).map((forest) => {
      const writer = new AttributeWriter();
      for (const one of forest) write(writer, one);
      const message = new Uint8Array(16 + writer.length);
      new DataView(message.buffer).setUint32(0, message.length, true);
      message.set(writer.view(), 16);
      return message;
    });
    const mutated = fc
      .tuple(seeds, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }))
      .map(([bytes, changes]) => {
        for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
        return bytes;
      });
    const runs = process.argv.includes("--soak") ? 1_000_000 : 5_000;
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
        steps += walk(bytes);
      }),
      { seed, numRuns: runs },
    );
    assert.ok(steps > runs, `only ${steps} steps: the fuzzer does not get past the headers`);
  });
});

describe("acknowledgements", () => {
  const acknowledgement = (
    errno: number,
    flags: number,
    rest: Uint8Array,
    kind = NLMSG_ERROR,
  ): MessageReader => {
    const bytes = new Uint8Array(16 + 4 + rest.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, bytes.length, true);
    view.setUint16(4, kind, true);
    view.setUint16(6, flags, true);
    view.setInt32(16, -errno, true);
    bytes.set(rest, 20);
    const reader = new MessageReader(bytes);
    reader.next();
    return reader;
  };
  const header = (length: number): Uint8Array => {
    const bytes = new Uint8Array(16);
    new DataView(bytes.buffer).setUint32(0, length, true);
    return bytes;
  };

  test("zero is success", () => {
    assert.equal(readAcknowledgement(acknowledgement(0, NLM_F_CAPPED, header(500)), "x"), null);
    assert.equal(readAcknowledgement(acknowledgement(0, 0, new Uint8Array(0), NLMSG_DONE), "x"), null);
  });

  test("a refusal has the errno, the operation and the kernel's own words", () => {
    const words = new AttributeWriter().string(1, "Unknown port").u32(2, 36).view();
    const rest = new Uint8Array([...header(500), ...words]);
    const error = readAcknowledgement(acknowledgement(22, NLM_F_CAPPED | NLM_F_ACK_TLVS, rest), "add rule");
    assert.ok(error instanceof NetlinkError);
    assert.equal(error.code, "refused");
    assert.equal(error.errno, 22);
    assert.equal(
      error.message,
      "add rule: EINVAL (invalid argument): Unknown port (at byte 36 of the message)",
    );
  });

  test("a refusal that repeats the request hands its payload over; one that lies about its length is refused", () => {
    const rest = new Uint8Array([...header(20), 1, 2, 3, 4]);
    const error = readAcknowledgement(acknowledgement(4352, 0, rest), "add");
    assert.deepEqual(error?.request, Uint8Array.of(1, 2, 3, 4));
    assert.equal(error?.message, "add: errno 4352");
    const lying = new Uint8Array([...header(21), 1, 2, 3, 4]);
    assert.throws(() => readAcknowledgement(acknowledgement(22, 0, lying), "x"), { code: "malformed" });
    assert.throws(() => readAcknowledgement(acknowledgement(22, 0, new Uint8Array(8)), "x"), {
      code: "malformed",
    });
  });
});
