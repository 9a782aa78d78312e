import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CutList } from "@antenna/netfilter/internal/connections/cut-list.js";
import {
  expectReplacement,
  isOther,
  isOver,
  keepCut,
  observe,
} from "@antenna/netfilter/internal/connections/kept-cut.js";
import { ListeningPorts } from "@antenna/netfilter/internal/connections/listening-ports.js";
import { LocalAddressSet } from "@antenna/netfilter/internal/connections/local-address-set.js";
import { parsePortRange, parseSeconds } from "@antenna/netfilter/internal/connections/namespace-settings.js";
import {
  emptyFlowRecord,
  type FlowContext,
  fillFlow,
  resolveFlow,
} from "@antenna/netfilter/internal/connections/tracked-flow.js";
import type { TrackedFlow } from "@antenna/sdk";
import type { Entry } from "netfilter-conntrack";

const host = Uint8Array.of(10, 0, 0, 1);
const peer = Uint8Array.of(10, 0, 0, 2);
const stranger = Uint8Array.of(10, 0, 0, 3);
const context: FlowContext = {
  local: new LocalAddressSet([{ family: 4, address: host, prefix: 24, interfaceIndex: 2, flags: 0 }]),
  cutMark: 0x1000_0000,
  unseenUdp: new Set([7]),
};

function entry(change: Partial<Entry> = {}, source = peer, destination = host): Entry {
  const bare = { icmpType: 0, icmpCode: 0, icmpId: 0 };
  return {
    family: 4,
    protocol: 17,
    original: { source, destination, sourcePort: 40_000, destinationPort: 9_000, ...bare },
    reply: { source: destination, destination: source, sourcePort: 9_000, destinationPort: 40_000, ...bare },
    id: 1,
    zone: 0,
    status: 0,
    mark: 0,
    timeout: 30,
    tcp: null,
    sctpState: null,
    counters: null,
    ...change,
  };
}

function flow(change: Partial<Entry> = {}, source = peer, destination = host): TrackedFlow {
  return fillFlow(emptyFlowRecord(), entry(change, source, destination), context);
}

describe("a tracked flow", () => {
  test("has its direction by what is local", () => {
    assert.equal(flow({}, peer, host).direction, "in");
    assert.equal(flow({}, host, peer).direction, "out");
    assert.equal(flow({}, peer, stranger).direction, "forwarded");
    assert.equal(flow({}, host, host).direction, "local");
    assert.equal(flow({}, Uint8Array.of(127, 0, 0, 1), Uint8Array.of(127, 9, 9, 9)).direction, "local");
    // DNAT to this host: the answer comes from here.
    assert.equal(flow({ reply: { ...entry({}, peer, host).reply } }, peer, stranger).direction, "in");
  });

  test("is cut by its bit alone", () => {
    assert.equal(flow({ mark: 0xefff_ffff }).cut, false);
    assert.equal(flow({ mark: 0x1000_0055 }).cut, true);
  });

  test("was not seen opening: TCP by its flags, UDP by its age unless both ports are equal", () => {
    const tcp = (flags: number): Entry["tcp"] => ({
      ...{ state: 3, flagsOriginal: flags, flagsReply: flags },
      ...{ windowScaleOriginal: 0, windowScaleReply: 0 },
    });
    assert.equal(flow({ protocol: 6, tcp: tcp(0x0a) }).openingSeen, false);
    assert.equal(flow({ protocol: 6, tcp: tcp(0x03) }).openingSeen, true);
    assert.equal(flow({ id: 7 }).openingSeen, false);
    assert.equal(flow({ id: 8 }).openingSeen, true);
    const ntp = { ...entry().original, sourcePort: 123, destinationPort: 123 };
    assert.equal(flow({ id: 7, original: ntp }).openingSeen, true);
  });

  test("is resolved by its local end, and keeps its own copy of its addresses", () => {
    const seen = flow({ id: 7 }, host, peer);
    const resolved = resolveFlow(seen, () => true);
    assert.equal(resolved.direction, "in");
    assert.equal(resolved.openingSeen, true);
    assert.deepEqual(resolved.original, seen.reply);
    assert.notEqual(resolved.original.source, seen.reply.source);
    assert.equal(resolveFlow(flow({ id: 8 }, host, peer), () => true).direction, "out");
  });

  test("is closing from the first FIN or RST on", () => {
    const closing = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter((state) => {
      const tcp = { state, flagsOriginal: 3, flagsReply: 3, windowScaleOriginal: 7, windowScaleReply: 7 };
      return flow({ protocol: 6, tcp }).closing;
    });
    assert.deepEqual(closing, [4, 5, 6, 7, 8]);
  });
});

test("ports that listen: TCP anywhere, UDP outside the ephemeral range, on the address that is asked for", () => {
  const ports = new ListeningPorts({ from: 32_768, to: 60_999 });
  const any = { family: 4, ipv6Socket: false, localAddress: new Uint8Array(4) } as const;
  const any6 = { family: 6, ipv6Socket: true, localAddress: new Uint8Array(16) } as const;
  ports.add({ ...any, localPort: 22 }, "tcp");
  ports.add({ ...any, localAddress: host, localPort: 40_000 }, "tcp");
  ports.add({ ...any6, localPort: 443 }, "tcp");
  ports.add({ ...any, localPort: 53 }, "udp");
  ports.add({ ...any, localPort: 40_000 }, "udp");
  assert.equal(ports.listensTcp(host, 22), true);
  assert.equal(ports.listensTcp(new Uint8Array(16).fill(1), 22), false);
  assert.equal(ports.listensTcp(host, 40_000), true);
  assert.equal(ports.listensTcp(peer, 40_000), false);
  assert.equal(ports.listensTcp(host, 443), true, "dual-stack");
  assert.equal(ports.listensTcp(new Uint8Array(16).fill(1), 443), true);
  assert.equal(ports.listensTcp(host, 53), false);
  assert.equal(ports.servesUdp(host, 53), true);
  assert.equal(ports.servesUdp(host, 40_000), false);
});

test("settings are read as the kernel writes them, and nothing else is taken for one", () => {
  assert.deepEqual(parsePortRange("32768\t60999\n"), { from: 32_768, to: 60_999 });
  for (const wrong of [null, "", "1", "60999 32768\n", "0 10\n", "1 65536\n", "a b\n"]) {
    assert.equal(parsePortRange(wrong), null);
  }
  assert.equal(parseSeconds("432000\n"), 432_000);
  for (const wrong of [null, "", "0\n", "-1\n", "99999999999\n"]) assert.equal(parseSeconds(wrong), null);
});

describe("the list of flows that are kept cut", () => {
  test("is bounded, counts what it refused, and finds a flow from both sides", () => {
    const list = new CutList(2);
    const kept = [1, 2, 3].map((id) => {
      const source = Uint8Array.of(10, 0, 1, id);
      return keepCut(
        resolveFlow(flow({ id }, source), () => true),
        entry({ id }, source),
        0,
      );
    });
    assert.deepEqual(
      kept.map((one) => list.add(one)),
      [true, true, false],
    );
    assert.deepEqual([list.size, list.refused], [2, 1]);
    const [first] = kept;
    assert.ok(first !== undefined);
    const { original, reply } = first.flow;
    assert.equal(list.byFlow({ ...first.flow, original: reply, reply: original }), first);
    list.renumber(first, () => observe(first, entry({ id: 99 }), 0));
    assert.equal(list.byEntry(entry({ id: 1 })), undefined);
    assert.equal(list.byEntry(entry({ id: 99 })), first);
    list.delete(first);
    assert.deepEqual(
      [list.size, list.byEntry(entry({ id: 99 })), list.byFlow(first.flow)],
      [1, undefined, undefined],
    );
  });

  test("finds a flow whose entry we made by its tuple, until the id is known", () => {
    const list = new CutList(4);
    const kept = keepCut(flow({ id: 1 }), entry({ id: 1 }), 0);
    list.add(kept);
    list.renumber(kept, () => expectReplacement(kept));
    const answers = { ...entry().reply };
    assert.equal(list.byEntry(entry({ id: 50 })), kept);
    assert.equal(list.byEntry(entry({ id: 51, original: answers })), kept, "from its other side");
    assert.equal(list.byEntry(entry({ id: 52, protocol: 6 })), undefined);
    assert.equal(list.byEntry(entry({ id: 53, zone: 1 })), undefined);
    assert.equal(isOther(kept, entry({ id: 50 })), false, "it is ours");
    list.renumber(kept, () => observe(kept, entry({ id: 50 }), 0));
    assert.equal(list.byEntry(entry({ id: 50 })), kept);
    assert.equal(list.byEntry(entry({ id: 54 })), undefined, "by id alone again");
    list.renumber(kept, () => expectReplacement(kept));
    list.delete(kept);
    assert.equal(list.byEntry(entry({ id: 50 })), undefined);
  });

  test("tells expiry from deletion by what was left of the entry's time", () => {
    const udp = keepCut(flow(), entry({ timeout: 30 }), 1_000);
    assert.equal(isOver(udp, 30_900), false, "gone before its time: somebody deleted it");
    assert.equal(isOver(udp, 31_000), true);
    observe(udp, entry({ timeout: 120 }), 20_000);
    assert.equal(isOver(udp, 31_000), false);
    const tcp = keepCut(flow({ protocol: 6 }), entry({ protocol: 6, timeout: 10 }), 0);
    assert.equal(isOver(tcp, 60_000), false, "either side may still send again");
    tcp.ended = true;
    assert.equal(isOver(tcp, 60_000), true, "nobody is left who could");
    assert.equal(isOther(udp, entry({ status: 0 })), false);
    observe(udp, entry({ status: 2 }), 0);
    assert.equal(isOther(udp, entry({ status: 0 })), true, "an entry that was answered stays answered");
  });
});
