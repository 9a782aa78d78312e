import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  createRequest,
  destroyRequest,
  listRequest,
  memberRequests,
  swapRequest,
  typeRequest,
} from "@antenna/netfilter/internal/ipset/ipset-messages.js";
import { KernelMembers } from "@antenna/netfilter/internal/ipset/kernel-members.js";
import { type SetType, typeName } from "@antenna/netfilter/internal/ipset/set-type.js";
import { AttributeReader, type Request } from "@antenna/netlink";
import { AddressSet, type ProgramSet } from "@antenna/sdk";

function peers(...texts: string[]): ProgramSet {
  return { kind: "peers", members: AddressSet.from(texts) };
}

function pairs(protocol: number, ports: readonly number[], ...texts: string[]): ProgramSet {
  return { kind: "pairs", parts: [{ members: AddressSet.from(texts), protocol, ports }] };
}

/** struct nfgenmsg as libipset writes it, and the protocol attribute. */
const begin = bytes("02000000", "0500010007000000");
const a4 = bytes("07000200", "61340000");

function bytes(...parts: string[]): string {
  return parts.join("");
}

// What ipset 7.17 sends for the command in the comment, from strace; the netlink header left out.
describe("the bytes that ipset(8) sends", () => {
  test("ipset create a4 hash:net family inet hashsize 1024 maxelem 5", () => {
    const type: SetType = { family: 4, kind: "peers", shape: "blocks" };
    const request = createRequest("a4", { type, revision: 7, members: 2000, capacity: 5 });
    const data = bytes("14000780", "0800124000000400", "0800134000000005");
    const typed = bytes("0d000300", "686173683a6e657400000000");
    assert.equal(hex(request), bytes(begin, a4, typed, "0500040007000000", "0500050002000000", data));
    assert.equal(request.type, 0x602);
    assert.equal(request.flags, 0x600);
  });

  test("ipset type: hash:net inet", () => {
    const request = typeRequest({ family: 4, kind: "peers", shape: "blocks" });
    assert.equal(hex(request), bytes(begin, "0d000300", "686173683a6e657400000000", "0500050002000000"));
  });

  test("ipset restore: add ap4 1.2.3.4,udp:54, add ap4 1.2.3.4,udp:55", () => {
    const member = (port: string, line: string): string =>
      bytes(
        "28000780",
        "0c000180",
        "0800014001020304",
        `06000440${port}0000`,
        "0500070011000000",
        `08000940${line}`,
      );
    const [request, ...more] = [
      ...memberRequests("add", "ap4", new KernelMembers(pairs(17, [54, 55], "1.2.3.4"), 4)),
    ].map((one) => ({ ...one, payload: one.payload.slice() }));
    assert.equal(more.length, 0);
    assert.ok(request !== undefined);
    assert.equal(
      hex(request),
      bytes(
        begin,
        "08000200",
        "61703400",
        "0800094000000001",
        "54000880",
        member("0036", "00000001"),
        member("0037", "00000002"),
      ),
    );
    assert.equal(request.type, 0x609);
    // Unlike the tool's, ours is no error when the member is there already: without NLM_F_EXCL.
    assert.equal(request.flags, 0);
  });

  test("ipset del a4 10.1.0.0/16; ipset add p6 fd00::/64,tcp:80: the members", () => {
    const [four] = memberRequests("delete", "a4", new KernelMembers(peers("10.1.0.0/16"), 4));
    assert.ok(four !== undefined);
    assert.ok(
      hex(four).endsWith(bytes("0c000180", "080001400a010000", "0500030010000000", "0800094000000001")),
    );
    assert.equal(four.type, 0x60a);
    const [six] = memberRequests("add", "p6", new KernelMembers(pairs(6, [80], "fd00::/64"), 6));
    assert.ok(six !== undefined);
    assert.ok(
      hex(six).endsWith(
        bytes(
          "18000180",
          "14000240fd000000000000000000000000000000",
          "0500030040000000",
          "0600044000500000",
          "0500070006000000",
          "0800094000000001",
        ),
      ),
    );
  });

  test("ipset swap, destroy, list -n, list -t", () => {
    assert.equal(hex(swapRequest("ap4", "ap4")), bytes(begin, "0800020061703400", "0800030061703400"));
    assert.equal(hex(destroyRequest("a4")), bytes(begin, a4));
    assert.equal(hex(listRequest(null, 2)), bytes(begin, "0800064000000002"));
    assert.equal(hex(listRequest("ap4", 4)), bytes(begin, "0800020061703400", "0800064000000004"));
    assert.equal(listRequest(null, 2).flags, 0x300);
    assert.equal(destroyRequest("a4").flags, 0x200);
  });
});

test("a name that the kernel would cut or refuse is refused here", () => {
  assert.throws(() => destroyRequest(""), RangeError);
  assert.throws(() => destroyRequest("x".repeat(32)), RangeError);
  assert.throws(() => destroyRequest("a\0b"), RangeError);
  destroyRequest("x".repeat(31));
});

test("many members go out in as few messages as 64 KiB allow, each with its line", () => {
  const builder = AddressSet.builder();
  for (let index = 0; index < 10_000; index++) builder.addText(`10.0.${index >> 8}.${index & 255}`);
  const members = new KernelMembers({ kind: "peers", members: builder.build() }, 4);
  let expected = 1;
  let messages = 0;
  for (const { payload } of memberRequests("add", "x", members)) {
    messages++;
    assert.ok(payload.length <= 65_535 + 64);
    const attributes = new AttributeReader(payload, 4);
    while (attributes.next()) {
      if (attributes.type !== 8) continue;
      const data = attributes.enter();
      while (data.next()) {
        const member = data.enter();
        while (member.next()) if (member.type === 9) assert.equal(member.be32(), expected++);
      }
    }
  }
  assert.equal(expected, 10_001);
  assert.ok(messages <= Math.ceil((10_000 * 24) / 65_000) + 1, `${messages} messages`);
});

test("the kernel's type follows from what a set is for", () => {
  const types = (["peers", "pairs"] as const).flatMap((kind) =>
    (["hosts", "blocks"] as const).map((shape) => typeName({ family: 4, kind, shape })),
  );
  assert.deepEqual(types, ["hash:ip", "hash:net", "hash:ip,port", "hash:net,port"]);
});

function hex({ payload }: Request): string {
  return Buffer.from(payload).toString("hex");
}
