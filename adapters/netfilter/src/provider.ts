import { join } from "node:path";
import { NETLINK_NETFILTER, NetlinkSocket } from "@antenna/netlink";
import type { CallOptions, PacketFilter, PacketFilterOptions, PacketFilterProvider } from "@antenna/sdk";
import { ChildProcesses } from "./apply/command-runner.js";
import { FilterTables } from "./apply/filter-tables.js";
import { kernelError } from "./apply/kernel-error.js";
import { KernelSets } from "./apply/kernel-sets.js";
import { Remover } from "./apply/remover.js";
import { RestorePrograms } from "./apply/restore-program.js";
import { RuleKeeper } from "./apply/rule-keeper.js";
import { BackendDetector } from "./backend/backend-detector.js";
import { LegacyTable } from "./backend/legacy-table.js";
import { NetworkNamespace } from "./backend/network-namespace.js";
import { NftTable } from "./backend/nft-table.js";
import { BaselineFile } from "./baseline/baseline-file.js";
import { openConnectionTable } from "./connections/connection-table.js";
import { IpsetDriver } from "./ipset/ipset-driver.js";
import { NetfilterPacketFilter } from "./packet-filter.js";
import { Watch } from "./watch/watch.js";

/**
 * PacketFilter for Linux: iptables and ipset of one network namespace, in whichever backend holds the host's rules.
 * Needs CAP_NET_ADMIN (legacy also CAP_NET_RAW and uid 0), and CAP_SYS_ADMIN for another namespace than the own.
 */
export function netfilterProvider(): PacketFilterProvider {
  return { open: openPacketFilter };
}

/** Opens a filter; writes neither to the kernel nor to disk. Rejects with AntennaError. */
async function openPacketFilter(options: PacketFilterOptions & CallOptions): Promise<PacketFilter> {
  const { stateDir, cutMark, nflogGroup, nflogRate, clock, logger } = options;
  const runner = new ChildProcesses();
  const closers: (() => void)[] = [];
  try {
    const namespace = NetworkNamespace.open(options.namespace, runner);
    closers.push(() => namespace.close());
    const netlink = NetlinkSocket.open({ protocol: NETLINK_NETFILTER, namespace: namespace.path });
    closers.push(() => netlink.close());
    const nft = new NftTable(netlink);
    const legacy = new LegacyTable(namespace);
    closers.push(() => legacy.close());

    const programs = new RestorePrograms(runner, namespace, join(stateDir, "xtables.lock"));
    const tables = new FilterTables(nft, legacy, programs);
    const file = new BaselineFile(stateDir);
    const sets = new KernelSets(new IpsetDriver(netlink));
    const detector = new BackendDetector(nft, legacy);
    const render = { cutMark, nflogGroup, nflogRate };
    const onGeneration = (generation: number) => watch.ownGeneration(generation);
    const keeper = new RuleKeeper({ tables, detector, file, render, logger, onGeneration });
    const watch = new Watch({ keeper, sets, legacy, netlink, clock, logger });
    await keeper.look();
    const connections = await openConnectionTable(options);
    return new NetfilterPacketFilter({
      keeper,
      sets,
      remover: () => new Remover({ keeper, tables, sets, file, namespace, programs }),
      watch,
      connections,
      logger,
      close: () => closeAll(closers),
    });
  } catch (error) {
    closeAll(closers);
    throw kernelError(error, `open the packet filter of ${options.namespace ?? "this host"}`);
  }
}

function closeAll(closers: readonly (() => void)[]): void {
  for (const close of [...closers].reverse()) close();
}
