import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import { describe, test } from "node:test";
import { AddressSet, AntennaError, formatAddress, formatBlock, parseAddress } from "@antenna/sdk";
import fc from "fast-check";
import { runSeed } from "./random.js";

const seed = runSeed("policy-address");

function canonical(text: string): string {
  const [member] = AddressSet.from([text]).strings();
  return String(member);
}

function refusalOf(text: string): string {
  try {
    AddressSet.from([text]);
  } catch (reason) {
    if (reason instanceof AntennaError && reason.code === "input-refused")
      return reason.problems[0]?.problem ?? "";
    throw reason;
  }
  return assert.fail(`${JSON.stringify(text)} was accepted`);
}

describe("addresses and blocks from text", () => {
  // RFC 4291, 2.2 and 2.3; RFC 5952, 4.
  const accepted: readonly (readonly [string, string])[] = [
    ["10.0.0.1", "10.0.0.1"],
    ["10.0.0.1/32", "10.0.0.1"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["128.0.0.0/1", "128.0.0.0/1"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::/0", "::/0"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0db8::0001", "2001:db8::1"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
    ["1:0:0:0:2:0:0:0", "1::2:0:0:0"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
    ["2001:db8::/32", "2001:db8::/32"],
    ["2001:DB8:0:CD30::/60", "2001:db8:0:cd30::/60"],
  ];
  for (const [text, expected] of accepted) {
    test(`${text} is ${expected}`, () => assert.equal(canonical(text), expected));
  }

  const refused: readonly (readonly [string, RegExp])[] = [
    ["", /empty/],
    [" 10.0.0.1", /not an address/],
    ["10.0.0.1 ", /not an address/],
    ["10.0.0", /not an address/],
    ["10.0.0.0.1", /not an address/],
    ["10.0.0.", /not an address/],
    [".1.2.3", /not an address/],
    ["10.0.0.256", /over 255/],
    ["10.0.0.1000", /over 255/],
    ["10.0.0.01", /leading zero/],
    ["010.0.0.1", /leading zero/],
    ["00.0.0.0", /leading zero/],
    ["0x0a.0.0.1", /not an address/],
    ["167772161", /not an address/],
    ["10.0.0.-1", /not an address/],
    ["١.1.1.1", /not an address/],
    ["10.0.0.1/24", /host bits set; write 10\.0\.0\.0\/24/],
    ["fd00::1/64", /host bits set; write fd00::\/64/],
    ["10.0.0.0/33", /prefix length/],
    ["10.0.0.0/08", /prefix length/],
    ["10.0.0.0/", /prefix length/],
    ["10.0.0.0/+8", /prefix length/],
    ["10.0.0.0/255.0.0.0", /prefix length/],
    ["10.0.0.0/8/8", /prefix length/],
    ["/8", /not an address/],
    ["fd00::/129", /prefix length/],
    ["::ffff:10.0.0.1", /IPv4-mapped/],
    ["::ffff:a00:1", /IPv4-mapped/],
    ["::ffff:0:0/96", /IPv4-mapped/],
    ["0:0:0:0:0:FFFF:129.144.52.38", /IPv4-mapped/],
    ["fe80::1%eth0", /zone id/],
    ["fe80::1%25eth0/64", /zone id/],
    ["1::2::3", /twice/],
    ["1:2:3:4:5:6:7", /fewer than eight/],
    ["1:2:3:4:5:6:7:8:9", /more than eight/],
    ["1:2:3:4:5:6:7:8::", /stands for no group/],
    ["1:2:3:4::5:6:7:8", /stands for no group/],
    ["1:2:3:4:5:6:7:1.2.3.4", /128 bits/],
    [":1", /not an address/],
    ["1:", /not an address/],
    [":::", /not an address/],
    [":", /not an address/],
    ["12345::", /not an address/],
    ["g::", /not an address/],
    ["::1.2.3.04", /leading zero/],
    ["::1.2.3", /not an address/],
    ["[::1]", /not an address/],
    ["any", /not an address/],
    ["localhost", /not an address/],
    ["-j ACCEPT", /not an address/],
    ["1".repeat(5_000), /not an address/],
    ["\u001b[31m", /\\u001b/],
  ];
  for (const [text, reason] of refused) {
    test(`${JSON.stringify(text.slice(0, 40))} is refused: ${reason.source}`, () => {
      const problem = refusalOf(text);
      assert.match(problem, reason);
      assert.ok(problem.length < 250, "a message is bounded whatever was written");
    });
  }

  test("one address: no block, no prefix", () => {
    assert.deepEqual(parseAddress("10.1.2.3"), Uint8Array.of(10, 1, 2, 3));
    assert.throws(() => parseAddress("10.0.0.0/8"), { code: "input-refused" });
    assert.throws(() => parseAddress("::ffff:1.2.3.4"), { code: "input-refused" });
  });

  test("IPv6 text is what WHATWG's URL makes of the same address, and comes back as the same bytes", () => {
    const group = fc.constantFrom(0, 0, 0, 1, 0x10, 0xffff, 0xab0);
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const bytes = new Uint8Array(groups.flatMap((value) => [value >>> 8, value & 255]));
        const text = formatAddress(bytes);
        const url = new URL(`http://[${groups.map((value) => value.toString(16)).join(":")}]/`);
        assert.equal(`[${text}]`, url.hostname);
        if (groups.slice(0, 6).join() !== "0,0,0,0,0,65535") assert.deepEqual(parseAddress(text), bytes);
      }),
      { seed, numRuns: 3_000 },
    );
  });

  test("nothing is accepted that the platform takes for no address", () => {
    const characters = fc.constantFrom(..."0123456789abcdefF:.:.::%/ ".split(""), "1.2.3.4", "::", "ffff:");
    fc.assert(
      fc.property(fc.array(characters, { maxLength: 14 }), (parts) => {
        const text = parts.join("");
        let member: string;
        try {
          member = canonical(text);
        } catch {
          return;
        }
        const [address = "", prefix] = text.split("/");
        assert.ok(isIPv4(address) || isIPv6(address), `${text} was read as ${member}`);
        assert.ok(prefix === undefined || Number(prefix) <= (isIPv4(address) ? 32 : 128));
      }),
      { seed, numRuns: 20_000 },
    );
  });

  test("and nothing is refused that the platform takes for one, but for the contract's own rules", () => {
    const hex = fc.integer({ min: 0, max: 0xffff }).map((value) => value.toString(16));
    const texts = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.array(hex, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(":")),
    );
    fc.assert(
      fc.property(texts, (text) => {
        try {
          canonical(text);
        } catch {
          assert.match(refusalOf(text), /IPv4-mapped|leading zero/);
        }
      }),
      { seed, numRuns: 5_000 },
    );
  });

  test("blocks format with their prefix unless they are one address", () => {
    assert.equal(formatBlock(Uint8Array.of(10, 0, 0, 0), 8), "10.0.0.0/8");
    assert.equal(formatBlock(Uint8Array.of(10, 0, 0, 0), 32), "10.0.0.0");
  });
});
