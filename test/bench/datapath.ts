import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { netfilterProvider } from "@antenna/netfilter";
import { compile, parsePolicy, planSafe, systemClock } from "@antenna/sdk";
import { createNamespace, link, type Namespace } from "../lab/namespace.js";
import { buildConnectLoop, ConnectionServer, connectMany } from "./connect-loop.js";
import { manyRulesPolicy, oneSetPolicy, prefixesPolicy } from "./policies.js";
import { type BenchResult, judge } from "./result.js";

const client = "10.99.0.1";
const port = 8080;
/** Many short turns: the machine's noise comes in stretches longer than one, and falls on all alike. */
const rounds = 61;
const connections = 1500;

interface Track {
  readonly name: string;
  readonly host: string;
  readonly server: ConnectionServer;
  readonly rates: number[];
  /** Connections per second of processor time of both ends, which noise disturbs least. */
  readonly perCpuSecond: number[];
}

/** What enforcement costs a connection: rate and CPU of both ends, against a namespace with connection tracking alone. */
export async function datapath(): Promise<readonly BenchResult[]> {
  await buildConnectLoop();
  const results: BenchResult[] = [];
  for (const backend of ["nft", "legacy"] as const) results.push(...(await measure(backend)));
  return results;
}

async function measure(backend: "nft" | "legacy"): Promise<readonly BenchResult[]> {
  const folder = await mkdtemp(join(tmpdir(), "antenna-bench-"));
  const undo: (() => PromiseLike<void>)[] = [() => rm(folder, { recursive: true, force: true })];
  try {
    const from = await createNamespace();
    undo.push(() => from[Symbol.asyncDispose]());
    const variants: readonly (readonly [string, string | null, number])[] = [
      ["conntrack-only", null, 0],
      ["2000-rules-200-sets-last", manyRulesPolicy(client, port), 0.9],
      ["1000-cidrs-20-prefixes", prefixesPolicy(client, port), 0.9],
      ["100k-members", oneSetPolicy(100_000, port, [client]), 0.95],
    ];
    const tracks: (Track & { readonly goal: number })[] = [];
    for (const [index, [name, policy, goal]] of variants.entries()) {
      const host = `10.99.${index}.2`;
      const to = await createNamespace();
      undo.push(() => to[Symbol.asyncDispose]());
      await link(
        { namespace: from, interface: `v${index}`, addresses: index === 0 ? [`${client}/32`] : [] },
        { namespace: to, interface: "eth0", addresses: [`${host}/32`] },
      );
      await route(from, to, `v${index}`, host);
      await installPeer(to, backend);
      if (policy !== null) undo.push(await install(to, policy, join(folder, name)));
      const server = await ConnectionServer.start(to, port);
      undo.push(() => server[Symbol.asyncDispose]());
      tracks.push({ name, host, server, rates: [], perCpuSecond: [], goal });
    }
    for (let round = -1; round < rounds; round++) {
      for (const track of tracks) {
        const measured = await connectMany({
          from,
          host: track.host,
          port,
          count: connections,
          server: track.server,
        });
        if (round < 0) continue;
        track.rates.push(measured.perSecond);
        track.perCpuSecond.push(1e6 / measured.cpuUsPerConnection);
      }
    }
    const [floor, ...ours] = tracks;
    if (floor === undefined) return [];
    return ours.flatMap(({ name, rates, perCpuSecond, goal }) => [
      judge({
        name: `datapath-${backend}-${name}-rate`,
        unit: "connections/s",
        ours: rates,
        theirs: floor.rates,
        peerName: floor.name,
        goal: { kind: "ratio", comparison: ">=", bound: goal },
      }),
      judge({
        name: `datapath-${backend}-${name}-cpu`,
        unit: "connections/CPU s",
        ours: perCpuSecond,
        theirs: floor.perCpuSecond,
        peerName: floor.name,
        goal: { kind: "ratio", comparison: ">=", bound: goal },
      }),
    ]);
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

async function route(from: Namespace, to: Namespace, device: string, host: string): Promise<void> {
  await from.exec("/usr/sbin/ip", ["route", "add", `${host}/32`, "dev", device, "src", client]);
  await to.exec("/usr/sbin/ip", ["route", "add", `${client}/32`, "dev", "eth0"]);
}

/** Connection tracking by one rule of the owner's, which also tells the adapter which backend is in use. */
async function installPeer(to: Namespace, backend: "nft" | "legacy"): Promise<void> {
  await to.exec(`/usr/sbin/iptables-${backend}`, [
    "-A",
    "INPUT",
    "-m",
    "conntrack",
    "--ctstate",
    "ESTABLISHED",
    "-j",
    "ACCEPT",
  ]);
}

/** Puts a policy in force without a daemon. */
async function install(to: Namespace, document: string, stateDir: string): Promise<() => Promise<void>> {
  const filter = await netfilterProvider().open({
    ...{ namespace: to.path, stateDir, clock: systemClock, logger: quiet },
    ...{ cutMark: 0x10000000, nflogGroup: 4711, nflogRate: 50 },
  });
  const program = compile(parsePolicy(document));
  if (program === null) throw new Error("the policy programs nothing");
  await filter.execute(planSafe(null, program, new Set()).commands);
  return async () => filter[Symbol.asyncDispose]();
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
