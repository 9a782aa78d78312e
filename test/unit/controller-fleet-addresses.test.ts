import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AddressBook } from "@antenna/controller/internal/fleet/address-book.js";
import { AddressSet, parseAddress, type WorkloadAddress } from "@antenna/sdk";
import fc from "fast-check";
import { runSeed } from "./random.js";

const seed = runSeed("controller-fleet-addresses");

function routable(address: string): WorkloadAddress {
  return { address, prefix: 24, interface: "eth0", scope: "routable" };
}

function bookOf(...workloads: readonly (readonly [id: string, ranges?: readonly string[]])[]): AddressBook {
  const book = new AddressBook();
  for (const [id, ranges = []] of workloads) book.enter(id, `host of ${id}`, ranges);
  return book;
}

describe("address admission", () => {
  test("an address has one holder; the next in line has it when it is let go", () => {
    const book = bookOf(["w-a"], ["w-b"], ["w-c"]);
    assert.deepEqual(book.claim("w-a", [routable("10.0.0.1")]), [
      { workload: "w-a", address: "10.0.0.1", state: "admitted", reason: null },
    ]);
    const [withheld] = book.claim("w-b", [routable("10.0.0.1")]);
    assert.equal(withheld?.state, "withheld");
    assert.match(withheld?.reason ?? "", /w-a \(host of w-a\) holds it/);
    book.claim("w-c", [routable("10.0.0.1")]);
    assert.deepEqual(book.claim("w-a", []), [
      { workload: "w-b", address: "10.0.0.1", state: "admitted", reason: null },
    ]);
    assert.match(book.claims("w-c")[0]?.reason ?? "", /w-b/, "who waits is told who holds it now");
    assert.deepEqual(book.leave("w-b"), [
      { workload: "w-c", address: "10.0.0.1", state: "admitted", reason: null },
    ]);
  });

  test("what is no unicast address others can reach is withheld, and stands in nobody's way", () => {
    const book = bookOf(["w-a"], ["w-b"]);
    const bad = [
      "127.0.0.1",
      "169.254.1.1",
      "224.0.0.1",
      "255.255.255.255",
      "0.0.0.0",
      "::1",
      "::",
      "fe80::1",
      "ff02::1",
    ];
    for (const change of book.claim("w-a", bad.map(routable))) {
      assert.equal(change.state, "withheld", change.address);
      assert.match(change.reason ?? "", /not a unicast address/);
    }
    assert.equal(book.claim("w-b", [routable("10.0.0.1")])[0]?.state, "admitted");
  });

  test("outside the pairing key's addresses nothing is admitted, and nobody is kept from it", () => {
    const book = bookOf(["w-a", ["10.1.0.0/16", "fd00::/8"]], ["w-b"]);
    const changes = book.claim("w-a", ["10.1.2.3", "10.2.0.1", "fd00::1", "2001:db8::1"].map(routable));
    assert.deepEqual(
      changes.map(({ address, state }) => `${address} ${state}`),
      ["10.1.2.3 admitted", "10.2.0.1 withheld", "fd00::1 admitted", "2001:db8::1 withheld"],
    );
    assert.equal(book.claim("w-b", [routable("10.2.0.1")])[0]?.state, "admitted");
  });

  test("addresses of private bridges belong to every host that has them", () => {
    const book = bookOf(["w-a"], ["w-b"]);
    const bridge: WorkloadAddress = { ...routable("172.17.0.1"), scope: "host" };
    assert.equal(book.claim("w-a", [bridge])[0]?.state, "admitted");
    assert.equal(book.claim("w-b", [bridge])[0]?.state, "admitted");
    assert.equal(book.claim("w-a", [routable("172.17.0.1")])[0]?.state, "admitted");
    assert.deepEqual(book.claim("w-b", [routable("172.17.0.1")])[0]?.state, "withheld");
    assert.equal(book.claim("w-a", [bridge]).find(({ workload }) => workload === "w-b")?.state, "admitted");
  });

  test("one address in two forms is one address", () => {
    const book = bookOf(["w-a"], ["w-b"]);
    book.claim("w-a", [routable("fd00:0:0:0::1")]);
    assert.equal(book.claim("w-b", [routable("fd00::1")])[0]?.state, "withheld");
    assert.equal(book.claims("w-a")[0]?.address, "fd00::1");
  });

  test("what was stored as admitted stays so after a start", () => {
    const book = bookOf(["w-a"], ["w-b"]);
    book.claim("w-b", [routable("10.0.0.1")]);
    book.claim("w-a", [routable("10.0.0.1"), routable("10.0.0.2")]);
    const stored = ["w-a", "w-b"].map((id) => ({ id, name: id, ranges: [], claims: book.claims(id) }));
    const again = AddressBook.load(stored);
    assert.equal(again.claims("w-b")[0]?.state, "admitted");
    assert.equal(again.claims("w-a")[0]?.state, "withheld");
    assert.equal(again.claim("w-b", [])[0]?.workload, "w-a");
  });

  test("whatever happens: one holder, someone has what anyone entitled claims, changes tell exactly what changed", () => {
    const ids = ["w-a", "w-b", "w-c", "w-d"];
    const ranges: Record<string, readonly string[]> = { "w-a": ["10.0.0.0/30"], "w-b": ["10.0.0.2/31"] };
    const addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "127.0.0.1"];
    const step = fc.record({
      id: fc.constantFrom(...ids),
      claims: fc.option(fc.subarray(addresses), { nil: null }),
      scope: fc.constantFrom<WorkloadAddress["scope"]>("routable", "routable", "routable", "host"),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const book = new AddressBook();
        const there = new Set<string>();
        const seen = new Map<string, string>();
        for (const { id, claims, scope } of steps) {
          let changes: ReturnType<AddressBook["leave"]> = [];
          if (claims === null) {
            changes = book.leave(id);
            there.delete(id);
            for (const key of [...seen.keys()]) if (key.startsWith(`${id} `)) seen.delete(key);
          } else {
            if (!there.has(id)) book.enter(id, id, ranges[id] ?? []);
            there.add(id);
            changes = book.claim(
              id,
              claims.map((address) => ({ ...routable(address), scope })),
            );
            for (const key of [...seen.keys()]) {
              if (key.startsWith(`${id} `) && !claims.includes(key.split(" ")[1] ?? "")) seen.delete(key);
            }
          }
          for (const { workload, address, state } of changes) seen.set(`${workload} ${address}`, state);
          for (const workload of there) {
            for (const { address, state } of book.claims(workload)) {
              assert.equal(seen.get(`${workload} ${address}`), state, "the changes told it");
            }
          }
          for (const address of addresses) {
            const claimants = [...there].filter((workload) =>
              book.claims(workload).some((claim) => claim.address === address && claim.scope === "routable"),
            );
            const entitled = claimants.filter((workload) => {
              const allowed = ranges[workload];
              return (
                address !== "127.0.0.1" &&
                (allowed === undefined || AddressSet.from(allowed).has(parseAddress(address)))
              );
            });
            const holders = claimants.filter((workload) =>
              book.admitted(workload).some((claim) => claim.address === address),
            );
            assert.equal(holders.length, Math.min(1, entitled.length));
            for (const holder of holders) assert.ok(entitled.includes(holder));
          }
        }
      }),
      { seed, numRuns: 500 },
    );
  });
});
