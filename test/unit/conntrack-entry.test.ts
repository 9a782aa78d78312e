import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { NetlinkError } from "@antenna/netlink";
import fc from "fast-check";
import {
  copyEntry,
  EntryParser,
  EntryWriter,
  type NewEntry,
  pickedUp,
  status,
  tcpState,
} from "netfilter-conntrack";
import { runSeed } from "./random.js";

const seed = runSeed("conntrack entries");
const seeded = (numRuns: number): { seed: number; numRuns: number } => ({ seed, numRuns });

const port = fc.integer({ min: 0, max: 65_535 });
const word = fc.integer({ min: 0, max: 0xffff_ffff });
const byte = fc.integer({ min: 0, max: 255 });

function address(family: 4 | 6): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: family === 4 ? 4 : 16, maxLength: family === 4 ? 4 : 16 });
}

const tcpInfo = fc.record({
  state: fc.integer({ min: 0, max: 9 }),
  flagsOriginal: byte,
  flagsReply: byte,
  windowScaleOriginal: fc.integer({ min: 0, max: 14 }),
  windowScaleReply: fc.integer({ min: 0, max: 14 }),
});

const newEntry: fc.Arbitrary<NewEntry> = fc
  .tuple(fc.constantFrom<4 | 6>(4, 6), fc.constantFrom(1, 6, 17, 50, 58, 132))
  .chain(([family, protocol]) => {
    const withPorts = fc.record({
      source: address(family),
      destination: address(family),
      sourcePort: port,
      destinationPort: port,
    });
    const withIcmp = fc.record({
      source: address(family),
      destination: address(family),
      icmpType: byte,
      icmpCode: byte,
      icmpId: port,
    });
    const bare = fc.record({ source: address(family), destination: address(family) });
    const icmp = protocol === 1 || protocol === 58;
    const tuple: fc.Arbitrary<NewEntry["original"]> = icmp ? withIcmp : protocol === 50 ? bare : withPorts;
    return fc.record(
      {
        family: fc.constant(family),
        protocol: fc.constant(protocol),
        original: tuple,
        reply: tuple,
        zone: fc.integer({ min: 0, max: 65_535 }),
        status: fc.integer({ min: 0, max: 0xffff }),
        timeoutSeconds: word,
        mark: word,
        ...(protocol === 6 && { tcp: tcpInfo }),
      },
      {
        requiredKeys: [
          "family",
          "protocol",
          "original",
          "reply",
          "status",
          "timeoutSeconds",
          ...(protocol === 6 ? (["tcp"] as const) : []),
        ],
      },
    ) as fc.Arbitrary<NewEntry>;
  });

function tupleOf(tuple: NewEntry["original"]) {
  return { sourcePort: 0, destinationPort: 0, icmpType: 0, icmpCode: 0, icmpId: 0, ...tuple };
}

describe("an entry of connection tracking", () => {
  test("is read as it was written", () => {
    const writer = new EntryWriter();
    const parser = new EntryParser();
    fc.assert(
      fc.property(newEntry, (entry) => {
        const bytes = writer.create(entry);
        const read = copyEntry(parser.parse(bytes, 0, bytes.length));
        assert.deepEqual(read, {
          family: entry.family,
          protocol: entry.protocol,
          original: tupleOf(entry.original),
          reply: tupleOf(entry.reply),
          id: 0,
          zone: entry.zone ?? 0,
          status: entry.status,
          mark: entry.mark ?? 0,
          timeout: entry.timeoutSeconds,
          tcp: entry.tcp === undefined ? null : { ...entry.tcp },
          sctpState: null,
          counters: null,
        });
      }),
      seeded(2_000),
    );
  });

  test("reads the same wherever it lies, and nothing of what lies beside it", () => {
    const writer = new EntryWriter();
    const parser = new EntryParser();
    fc.assert(
      fc.property(
        newEntry,
        fc.uint8Array({ maxLength: 40 }),
        fc.uint8Array({ maxLength: 40 }),
        (entry, before, after) => {
          const alone = writer.create(entry).slice();
          const padded = new Uint8Array([...before, ...alone, ...after]);
          const expected = copyEntry(parser.parse(alone, 0, alone.length));
          assert.deepEqual(
            copyEntry(parser.parse(padded, before.length, before.length + alone.length)),
            expected,
          );
        },
      ),
      seeded(500),
    );
  });

  test("a cut-off, overwritten or random message is malformed or reads as something, and never hurts", () => {
    const writer = new EntryWriter();
    const parser = new EntryParser();
    const attempt = (bytes: Uint8Array): void => {
      try {
        const entry = copyEntry(parser.parse(bytes, 0, bytes.length));
        const length = entry.family === 4 ? 4 : 16;
        for (const tuple of [entry.original, entry.reply]) {
          assert.equal(tuple.source.length, length);
          assert.equal(tuple.destination.length, length);
        }
      } catch (error) {
        assert.ok(error instanceof NetlinkError && error.code === "malformed", String(error));
      }
    };
    const damage = fc.array(fc.tuple(fc.nat(), byte), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(newEntry, fc.nat(), damage, (entry, cut, changes) => {
        const whole = writer.create(entry).slice();
        attempt(whole.subarray(0, cut % whole.length));
        for (const [at, value] of changes) whole[at % whole.length] = value;
        attempt(whole);
      }),
      seeded(5_000),
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), attempt), seeded(3_000));
  });

  test("one without both tuples, or of two protocols, is malformed", () => {
    const writer = new EntryWriter();
    const parser = new EntryParser();
    const tuple = {
      source: Uint8Array.of(10, 0, 0, 1),
      destination: Uint8Array.of(10, 0, 0, 2),
      sourcePort: 1,
      destinationPort: 2,
    };
    const bytes = writer.key({ family: 4, protocol: 6, tuple });
    assert.throws(() => parser.parse(bytes, 0, bytes.length), /without both of its tuples/);
    assert.throws(() => writer.key({ family: 6, protocol: 6, tuple }), TypeError);
  });

  test("a record read before is not seen through: absent attributes are absent", () => {
    const writer = new EntryWriter();
    const parser = new EntryParser();
    const tuple = {
      source: new Uint8Array(4),
      destination: new Uint8Array(4),
      sourcePort: 9,
      destinationPort: 9,
    };
    const full: NewEntry = {
      ...{ family: 4, protocol: 6, original: tuple, reply: tuple, zone: 3, mark: 5, timeoutSeconds: 7 },
      status: status.confirmed,
      tcp: { state: tcpState.established, flagsOriginal: 10, flagsReply: 10 },
    };
    const first = writer.create(full).slice();
    assert.notEqual(parser.parse(first, 0, first.length).tcp, null);
    const { tcp: _, ...rest } = full;
    const second = writer.create({ ...rest, protocol: 17, zone: 0, mark: 0 }).slice();
    const { tcp, zone, mark } = parser.parse(second, 0, second.length);
    assert.deepEqual({ tcp, zone, mark }, { tcp: null, zone: 0, mark: 0 });
  });
});

test("a connection picked up in its middle is told by its flags", () => {
  assert.equal(pickedUp(0x0a, 0x0a), true);
  assert.equal(pickedUp(0x2a, 0x3a), true, "bits that came later do not matter");
  assert.equal(pickedUp(0x03, 0x03), false);
  assert.equal(pickedUp(0x0b, 0x0b), false, "a window scale is only known from an opening");
  assert.equal(pickedUp(0x0a, 0x00), false);
});
