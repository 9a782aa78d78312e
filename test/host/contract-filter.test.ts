import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { netfilterProvider } from "@antenna/netfilter";
import { type Family, systemClock } from "@antenna/sdk";
import { MemoryLogger, type PacketFilterFixture, packetFilterContract } from "@antenna/sdk/testing";
import { createNamespace } from "../lab/namespace.js";

type Backend = "nft" | "legacy";

function iptables(backend: Backend, family: Family): string {
  return `/usr/sbin/${family === 4 ? "iptables" : "ip6tables"}-${backend}`;
}

/** A network namespace whose owner has rules of his own, in one of the two backends. */
async function createFixture(backend: Backend): Promise<PacketFilterFixture> {
  const namespace = await createNamespace();
  const stateDir = await mkdtemp(join(tmpdir(), "antenna-contract-"));
  for (const family of [4, 6] as const) {
    await namespace.exec(iptables(backend, family), ["-A", "FORWARD", "-i", "owners0", "-j", "ACCEPT"]);
  }
  return {
    open: () =>
      netfilterProvider().open({
        namespace: namespace.path,
        stateDir,
        cutMark: 0x10000000,
        nflogGroup: 4711,
        nflogRate: 50,
        clock: systemClock,
        logger: new MemoryLogger(),
      }),
    foreign: {
      async flushRules(family) {
        await namespace.exec(iptables(backend, family), ["-F"]);
      },
      async insertBefore(family) {
        await namespace.exec(iptables(backend, family), [
          "-I",
          "INPUT",
          "1",
          "-i",
          "owners0",
          "-j",
          "ACCEPT",
        ]);
      },
      async takeMember(instance, address) {
        await namespace.exec("/usr/sbin/ipset", ["del", `${instance.name}-4`, address]);
      },
    },
    noticeMs: backend === "nft" ? 250 : 1_200,
    async [Symbol.asyncDispose]() {
      await namespace[Symbol.asyncDispose]();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}

for (const backend of ["nft", "legacy"] as const) {
  packetFilterContract(`netfilter on iptables-${backend}`, () => createFixture(backend));
}
