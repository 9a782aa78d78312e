import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { IpsetDriver, type NamedSet } from "@antenna/netfilter/internal/ipset/ipset-driver.js";
import { NETLINK_NETFILTER, NetlinkSocket } from "@antenna/netlink";
import { AddressSet, AntennaError, type Family, type ProgramSet } from "@antenna/sdk";
import { createNamespace, type Namespace } from "../lab/namespace.js";

const ipset = "/usr/sbin/ipset";

interface Stand extends AsyncDisposable {
  readonly namespace: Namespace;
  readonly driver: IpsetDriver;
  /** What ipset(8) says, without what the kernel chose by itself; lines sorted. */
  save(): Promise<readonly string[]>;
}

async function stand(): Promise<Stand> {
  const namespace = await createNamespace();
  const socket = NetlinkSocket.open({ protocol: NETLINK_NETFILTER, namespace: namespace.path });
  return {
    namespace,
    driver: new IpsetDriver(socket),
    save: async () =>
      (await namespace.exec(ipset, ["save"]))
        .trim()
        .split("\n")
        .map((line) => line.replace(/ hashsize.*/, ""))
        .filter((line) => line !== "")
        .sort(),
    [Symbol.asyncDispose]: async () => {
      socket.close();
      await namespace[Symbol.asyncDispose]();
    },
  };
}

function peers(...texts: string[]): ProgramSet {
  return { kind: "peers", members: AddressSet.from(texts) };
}

function set(name: string, family: Family, kind: ProgramSet["kind"], shape: "hosts" | "blocks"): NamedSet {
  return { name, family, kind, shape };
}

async function refusal(promise: Promise<unknown>): Promise<AntennaError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof AntennaError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: "it was not refused" });
}

describe("sets of every type", () => {
  test("hold what ipset(8) reads back", async () => {
    await using own = await stand();
    const members = AddressSet.from(["10.0.0.0/8", "192.0.2.1", "fd00::/16", "2001:db8::1"]);
    const hosts = AddressSet.from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    const parts = (who: AddressSet): ProgramSet => ({
      kind: "pairs",
      parts: [
        { members: who, protocol: 6, ports: [80, 443] },
        { members: who, protocol: 17, ports: [53] },
        { members: AddressSet.from(["198.51.100.7"]), protocol: 132, ports: [5000] },
      ],
    });
    for (const family of [4, 6] as const) {
      const create = (
        name: string,
        kind: ProgramSet["kind"],
        shape: "hosts" | "blocks",
        content: ProgramSet,
      ) => own.driver.create({ ...set(`${name}-${family}`, family, kind, shape), capacity: 100 }, content);
      await create("ant-a", "peers", "hosts", { kind: "peers", members: hosts });
      await create("ant-b", "peers", "blocks", { kind: "peers", members });
      await create("ant-c", "pairs", "hosts", parts(hosts));
      await create("ant-d", "pairs", "blocks", parts(members));
    }
    assert.deepEqual(await own.save(), [
      "add ant-a-4 192.0.2.1",
      "add ant-a-4 192.0.2.2",
      "add ant-a-6 2001:db8::1",
      "add ant-b-4 10.0.0.0/8",
      "add ant-b-4 192.0.2.1",
      "add ant-b-6 2001:db8::1",
      "add ant-b-6 fd00::/16",
      "add ant-c-4 192.0.2.1,tcp:443",
      "add ant-c-4 192.0.2.1,tcp:80",
      "add ant-c-4 192.0.2.1,udp:53",
      "add ant-c-4 192.0.2.2,tcp:443",
      "add ant-c-4 192.0.2.2,tcp:80",
      "add ant-c-4 192.0.2.2,udp:53",
      "add ant-c-4 198.51.100.7,sctp:5000",
      "add ant-c-6 2001:db8::1,tcp:443",
      "add ant-c-6 2001:db8::1,tcp:80",
      "add ant-c-6 2001:db8::1,udp:53",
      "add ant-d-4 10.0.0.0/8,tcp:443",
      "add ant-d-4 10.0.0.0/8,tcp:80",
      "add ant-d-4 10.0.0.0/8,udp:53",
      "add ant-d-4 192.0.2.1,tcp:443",
      "add ant-d-4 192.0.2.1,tcp:80",
      "add ant-d-4 192.0.2.1,udp:53",
      "add ant-d-4 198.51.100.7,sctp:5000",
      "add ant-d-6 2001:db8::1,tcp:443",
      "add ant-d-6 2001:db8::1,tcp:80",
      "add ant-d-6 2001:db8::1,udp:53",
      "add ant-d-6 fd00::/16,tcp:443",
      "add ant-d-6 fd00::/16,tcp:80",
      "add ant-d-6 fd00::/16,udp:53",
      "create ant-a-4 hash:ip family inet",
      "create ant-a-6 hash:ip family inet6",
      "create ant-b-4 hash:net family inet",
      "create ant-b-6 hash:net family inet6",
      "create ant-c-4 hash:ip,port family inet",
      "create ant-c-6 hash:ip,port family inet6",
      "create ant-d-4 hash:net,port family inet",
      "create ant-d-6 hash:net,port family inet6",
    ]);
    for (const family of [4, 6] as const) {
      const pairs = set(`ant-d-${family}`, family, "pairs", "blocks");
      assert.equal((await own.driver.compare(pairs, parts(members))).equal, true);
      const differing = await own.driver.compare(pairs, parts(hosts));
      assert.equal(differing.equal, false);
    }
  });

  test("change in place: members that are there, or are not there, are no error", async () => {
    await using own = await stand();
    const blocks = set("ant-x-4", 4, "peers", "blocks");
    await own.driver.create({ ...blocks, capacity: 10 }, peers("10.0.0.0/8", "192.0.2.1"));
    await own.driver.add(blocks, peers("192.0.2.1", "192.0.2.2"));
    await own.driver.delete(blocks, peers("10.0.0.0/8", "198.51.100.1"));
    assert.equal((await own.driver.compare(blocks, peers("192.0.2.1", "192.0.2.2"))).equal, true);
    await own.driver.delete(blocks, peers("192.0.2.1", "192.0.2.2"));
    await own.driver.add(blocks, { kind: "peers", members: AddressSet.empty });
    assert.equal((await own.driver.header("ant-x-4"))?.elements, 0);
  });

  test("hold everybody, as two halves", async () => {
    await using own = await stand();
    for (const family of [4, 6] as const) {
      const any = set(`ant-any-${family}`, family, "peers", "blocks");
      await own.driver.create({ ...any, capacity: 1 }, { kind: "peers", members: AddressSet.any });
      assert.equal((await own.driver.compare(any, { kind: "peers", members: AddressSet.any })).equal, true);
    }
    assert.deepEqual(
      (await own.save()).filter((line) => line.startsWith("add")),
      [
        "add ant-any-4 0.0.0.0/1",
        "add ant-any-4 128.0.0.0/1",
        "add ant-any-6 8000::/1",
        "add ant-any-6 ::/1",
      ],
    );
  });

  test("are exchanged, and destroyed once", async () => {
    await using own = await stand();
    const one = set("ant-one-4", 4, "peers", "blocks");
    const two = set("ant-two-4", 4, "peers", "blocks");
    await own.driver.create({ ...one, capacity: 4 }, peers("10.0.0.1"));
    await own.driver.create({ ...two, capacity: 4 }, peers("10.0.0.2"));
    await own.driver.swap("ant-one-4", "ant-two-4");
    assert.equal((await own.driver.compare(one, peers("10.0.0.2"))).equal, true);
    assert.equal(await own.driver.destroy("ant-one-4"), true);
    assert.equal(await own.driver.destroy("ant-one-4"), false);
    assert.deepEqual(await own.driver.names(), ["ant-two-4"]);
  });
});

describe("what stands in the kernel", () => {
  test("is told by names and headers, foreign sets among them", async () => {
    await using own = await stand();
    await own.namespace.exec(ipset, ["create", "theirs", "hash:ip", "timeout", "10"]);
    const blocks = set("ant-x-6", 6, "peers", "blocks");
    await own.driver.create({ ...blocks, capacity: 50 }, peers("fd00::/8"));
    assert.deepEqual(new Set(await own.driver.names()), new Set(["theirs", "ant-x-6"]));
    const header = await own.driver.header("ant-x-6");
    assert.deepEqual(
      [
        header?.typeName,
        header?.family,
        header?.elements,
        header?.maxElements,
        header?.references,
        header?.timeout,
      ],
      ["hash:net", 6, 1, 100, 0, false],
    );
    const rule = ["-m", "set", "--match-set", "ant-x-6", "src", "-j", "DROP"];
    await own.namespace.exec("/usr/sbin/ip6tables-nft", ["-A", "INPUT", ...rule]);
    assert.equal((await own.driver.header("ant-x-6"))?.references, 1);
    assert.equal(await own.driver.header("there-is-none"), null);
    const none = await own.driver.compare({ ...blocks, name: "there-is-none" }, peers());
    assert.deepEqual([none.header, none.equal], [null, false]);
  });

  test("differs by one member swapped for another, at any size of the set", async () => {
    await using own = await stand();
    const builder = AddressSet.builder();
    for (let index = 0; index < 30_000; index++)
      builder.addText(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`);
    const content: ProgramSet = { kind: "peers", members: builder.build() };
    const hosts = set("ant-x-4", 4, "peers", "hosts");
    await own.driver.create({ ...hosts, capacity: 40_000 }, content);
    assert.equal((await own.driver.compare(hosts, content)).equal, true);
    await own.namespace.exec(ipset, ["del", "ant-x-4", "10.0.77.7"]);
    await own.namespace.exec(ipset, ["add", "ant-x-4", "203.0.113.9"]);
    const comparison = await own.driver.compare(hosts, content);
    assert.deepEqual([comparison.missing, comparison.extra, comparison.header?.elements], [1, 1, 30_000]);
    assert.deepEqual(comparison.examples, ["+203.0.113.9", "-10.0.77.7"]);
  });

  test("differs by an exception, by another type, and by members with a time to live", async () => {
    await using own = await stand();
    const blocks = set("ant-x-4", 4, "peers", "blocks");
    await own.driver.create({ ...blocks, capacity: 10 }, peers("10.0.0.0/8"));
    await own.namespace.exec(ipset, ["add", "ant-x-4", "10.1.0.0/16", "nomatch"]);
    assert.deepEqual((await own.driver.compare(blocks, peers("10.0.0.0/8"))).examples, [
      "+10.1.0.0/16 nomatch",
    ]);
    await own.driver.destroy("ant-x-4");
    for (const args of [
      ["hash:ip", "family", "inet"],
      ["hash:net", "family", "inet6"],
      ["hash:net", "family", "inet", "timeout", "100"],
    ]) {
      await own.namespace.exec(ipset, ["create", "ant-x-4", ...args]);
      const comparison = await own.driver.compare(blocks, peers());
      assert.deepEqual([comparison.sameType, comparison.equal], [false, false], args.join(" "));
      await own.driver.destroy("ant-x-4");
    }
  });
});

describe("refusals", () => {
  test("name the set, the reason, and the member", async () => {
    await using own = await stand();
    const hosts = set("ant-x-4", 4, "peers", "hosts");
    await own.driver.create({ ...hosts, capacity: 3 }, peers("10.0.0.1"));
    const full = await refusal(own.driver.add(hosts, peers("10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5")));
    assert.equal(full.code, "kernel-refused");
    assert.equal(full.message, "ipset add ant-x-4: the set is full (maxelem) at member 10.0.0.4");
    assert.equal(full.detail, "ipset error 4352: the set is full (maxelem) at member 10.0.0.4");

    const twice = await refusal(own.driver.create({ ...hosts, capacity: 3 }, peers()));
    assert.equal(twice.code, "kernel-refused");
    assert.match(twice.detail ?? "", /^ipset create ant-x-4: EEXIST/);

    const absent = await refusal(own.driver.add({ ...hosts, name: "ant-none" }, peers("10.0.0.1")));
    assert.match(absent.detail ?? "", /^ipset add ant-none: ENOENT/);

    const wrong = await refusal(own.driver.swap("ant-x-4", "ant-none"));
    assert.match(wrong.message, /^ipset swap ant-x-4 ant-none: /);
  });

  test("meet what the kernel would take and mean otherwise: ports of dccp are kept as port 0", async () => {
    await using own = await stand();
    const pairs = set("ant-x-4", 4, "pairs", "hosts");
    const parts = [{ members: AddressSet.from(["10.0.0.1"]), protocol: 33, ports: [80] }];
    const error = await refusal(own.driver.create({ ...pairs, capacity: 10 }, { kind: "pairs", parts }));
    assert.equal(error.code, "unsupported");
    assert.deepEqual(await own.driver.names(), []);
  });

  test("of a member leave no set behind that was just made", async () => {
    await using own = await stand();
    const hosts = set("ant-x-4", 4, "peers", "hosts");
    const error = await refusal(
      own.driver.create({ ...hosts, capacity: 2 }, peers("10.0.0.1", "10.0.0.2", "10.0.0.3")),
    );
    assert.match(error.message, /full/);
    assert.deepEqual(await own.driver.names(), []);
  });

  test("a set that a rule names is in use; one that a rule has just let go of is waited for", async () => {
    await using own = await stand();
    const iptables = "/usr/sbin/iptables-nft";
    const rule = ["-m", "set", "--match-set", "ant-x-4", "src", "-j", "DROP"];
    const blocks = set("ant-x-4", 4, "peers", "blocks");
    for (let round = 0; round < 3; round++) {
      await own.driver.create({ ...blocks, capacity: 10 }, peers("10.0.0.0/8"));
      await own.namespace.exec(iptables, ["-A", "INPUT", ...rule]);
      if (round === 0) {
        const busy = await refusal(own.driver.destroy("ant-x-4"));
        assert.equal(busy.message, "ipset destroy ant-x-4: the set is in use: a rule names it");
      }
      await own.namespace.exec(iptables, ["-D", "INPUT", ...rule]);
      assert.equal(await own.driver.destroy("ant-x-4"), true);
    }
  });

  test("abort and close keep their codes", async () => {
    await using own = await stand();
    const hosts = set("ant-x-4", 4, "peers", "hosts");
    const aborted = await refusal(
      own.driver.create({ ...hosts, capacity: 3 }, peers(), { signal: AbortSignal.abort() }),
    );
    assert.equal(aborted.code, "aborted");
    assert.deepEqual(await own.driver.names(), []);
  });
});

test("other events have their turn while a large set is made and compared", async () => {
  await using own = await stand();
  const builder = AddressSet.builder();
  for (let index = 0; index < 200_000; index++) {
    builder.addText(`10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`);
  }
  const content: ProgramSet = { kind: "peers", members: builder.build() };
  const hosts = set("ant-x-4", 4, "peers", "hosts");
  let turns = 0;
  let running = true;
  const count = (): void => {
    turns++;
    if (running) setImmediate(count);
  };
  count();
  await own.driver.create({ ...hosts, capacity: 200_000 }, content);
  const making = turns;
  assert.equal((await own.driver.compare(hosts, content)).equal, true);
  running = false;
  assert.ok(making >= 5, `${making} turns while it was made`);
  assert.ok(turns - making >= 5, `${turns - making} turns while it was compared`);
});
