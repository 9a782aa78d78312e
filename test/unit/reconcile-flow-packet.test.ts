import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { formatAddress } from "@antenna/sdk";
import { copyFlow, flowPacket } from "@antenna/sdk/internal/reconcile/flow-packet.js";
import { flow } from "./reconcile-fixture.js";

const shown = (...asked: Parameters<typeof flowPacket>): string | null => {
  const packet = flowPacket(...asked);
  if (packet === null) return null;
  return `${packet.direction} ${formatAddress(packet.source)}:${packet.sourcePort} > ${formatAddress(packet.destination)}:${packet.destinationPort}`;
};

describe("the packet that would open a flow now", () => {
  test("goes from the original source to the reply's source, where a translation leads", () => {
    const plain = flow("10.0.0.2");
    assert.equal(
      shown(plain, () => false),
      "in 10.0.0.2:40000 > 10.0.0.1:80",
    );
    const [front, back] = [flow("172.17.0.9", 8080).original.source, flow("10.0.0.2").reply];
    const translated = { ...plain, reply: { ...back, source: front, sourcePort: 8_080 } };
    assert.equal(
      shown(translated, () => false),
      "in 10.0.0.2:40000 > 172.17.0.9:8080",
    );
    const packet = flowPacket(translated, () => false);
    assert.equal(packet?.originalPort, 80);
    assert.equal(formatAddress(packet?.originalDestination ?? new Uint8Array(4)), "10.0.0.1");
  });

  test("is nobody's to judge when it is forwarded or stays on the host", () => {
    assert.equal(
      flowPacket(flow("10.0.0.2", 80, { direction: "forwarded" }), () => true),
      null,
    );
    assert.equal(
      flowPacket(flow("10.0.0.2", 80, { direction: "local" }), () => true),
      null,
    );
  });

  test("is mirrored when the kernel saw a flow from its middle and took it for the other direction", () => {
    const { original, reply } = flow("10.0.0.2");
    const pushed = flow("10.0.0.2", 80, {
      openingSeen: false,
      direction: "out",
      original: reply,
      reply: original,
    });
    assert.equal(
      shown(pushed, () => true),
      "in 10.0.0.2:40000 > 10.0.0.1:80",
    );
    assert.equal(
      shown(pushed, () => false),
      "out 10.0.0.1:80 > 10.0.0.2:40000",
    );
    const answered = flow("10.0.0.2", 80, { openingSeen: false });
    assert.equal(
      shown(answered, () => false),
      "out 10.0.0.1:80 > 10.0.0.2:40000",
    );
    assert.equal(
      shown({ ...answered, openingSeen: true }, () => false),
      "in 10.0.0.2:40000 > 10.0.0.1:80",
    );
    const ping = flow("10.0.0.2", 80, { openingSeen: false, protocol: 1, icmpType: 8, icmpCode: 0 });
    assert.equal(flowPacket(ping, () => false)?.direction, "in", "only TCP and UDP have listeners");
  });

  test("a copy shares no bytes with its flow", () => {
    const lent = flow("10.0.0.2");
    const copy = copyFlow(lent);
    lent.original.source.fill(0);
    lent.reply.destination.fill(0);
    assert.equal(
      shown(copy, () => false),
      "in 10.0.0.2:40000 > 10.0.0.1:80",
    );
    assert.equal(formatAddress(copy.reply.destination), "10.0.0.2");
  });
});
