import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { linuxHost } from "@antenna/linux";
import {
  AddressSet,
  compile,
  createAgent,
  type PolicyDelta,
  parsePolicy,
  planSafe,
  policyDigest,
} from "@antenna/sdk";
import { createNamespace, type Namespace } from "../lab/namespace.js";
import { Workload } from "../lab/workload.js";
import { hostAddress, manyRulesPolicy, oneSetPolicy } from "./policies.js";
import { type BenchResult, interleave, judge } from "./result.js";

const members = 100_000;
const port = 8080;

/** How long it takes until a change is enforced, against the bare tools doing the same. */
export async function apply(): Promise<readonly BenchResult[]> {
  return [await wholePolicy(), await oneMember(), planning()];
}

/** From the new file's rename to the daemon's word that it is in force, against `ipset restore` and `iptables-restore` of the same state. */
async function wholePolicy(): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "antenna-bench-"));
  await using ours = await createNamespace();
  await using theirs = await createNamespace();
  const workload = new Workload("bench", "127.0.0.1", [], ours, folder);
  try {
    await workload.writePolicy(oneSetPolicy(10, port));
    await workload.startDaemon(["--settle", "0s"]);
    return await interleave({
      name: "apply-100k",
      unit: "ms",
      rounds: 7,
      goal: { kind: "ratio", comparison: "<=", bound: 1.3 },
      ours: (round) => fileToEnforced(workload, oneSetPolicy(members, port, [], 1 + (round % 2))),
      peer: { name: "ipset restore + iptables-restore", measure: (round) => bareTools(theirs, round) },
    });
  } finally {
    await workload[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The daemon logs the moment; that the kernel then holds the members is checked. */
async function fileToEnforced(workload: Workload, text: string): Promise<number> {
  await writeFile(`${workload.policyFile}.next`, text, { mode: 0o600 });
  const logged = (await workload.logged("policy in force")).length;
  const started = Date.now();
  await workload.swapPolicy(`${workload.policyFile}.next`);
  for (;;) {
    const record = (await workload.logged("policy in force"))[logged];
    if (record === undefined) {
      await delay(10);
      continue;
    }
    const headers = await workload.namespace.exec("/usr/sbin/ipset", ["list", "-terse"]);
    if (!headers.includes(`Number of entries: ${members}`))
      throw new Error(`the kernel does not hold the members:\n${headers}`);
    return Date.parse(record.time) - started;
  }
}

/** The same content loaded by the tools themselves: a new set, the rules, away with the old set. */
async function bareTools(namespace: Namespace, round: number): Promise<number> {
  const name = `bare${round}`;
  const addresses = Array.from(
    { length: members },
    (_, index) => `add ${name} ${hostAddress(0x100000 * (1 + (round % 2)) + index)}`,
  );
  const sets = `create ${name} hash:ip family inet maxelem 262144\n${addresses.join("\n")}\n`;
  const rules = [
    "*filter",
    ":BARE - [0:0]",
    "-A BARE -m conntrack --ctstate ESTABLISHED -j RETURN",
    `-A BARE -p tcp -m tcp --dport ${port} -m set --match-set ${name} src -j RETURN`,
    "-A BARE -j DROP",
    "COMMIT",
    "",
  ].join("\n");
  const started = performance.now();
  await namespace.exec("/usr/sbin/ipset", ["restore"], sets);
  await namespace.exec("/usr/sbin/iptables-nft-restore", ["--noflush", "--wait"], rules);
  await namespace.exec(
    "/usr/sbin/ip6tables-nft-restore",
    ["--noflush", "--wait"],
    rules.replace(/.*match-set.*\n/, ""),
  );
  if (round > 0) await namespace.exec("/usr/sbin/ipset", ["destroy", `bare${round - 1}`]);
  return performance.now() - started;
}

/** One member more in a set of 100,000: from the message in the agent's hands to the kernel's acknowledgement. */
async function oneMember(): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "antenna-bench-"));
  await using namespace = await createNamespace();
  const agent = await createAgent({
    ...linuxHost(),
    namespace: namespace.path,
    stateDir: join(folder, "state"),
    settleMs: 0,
  });
  try {
    await agent.apply(Buffer.from(oneSetPolicy(members, port)));
    const elapsed: number[] = [];
    for (let round = 0; round < 200; round++) {
      const policy = agent.policy();
      if (policy === null) throw new Error("no policy is in force");
      const delta: PolicyDelta = {
        base: policyDigest(policy),
        version: null,
        sets: new Map([
          ["peers", { added: AddressSet.from([hostAddress(0x800000 + round)]), removed: AddressSet.empty }],
        ]),
        removedSets: [],
        rest: null,
      };
      const started = performance.now();
      await agent.apply(delta);
      elapsed.push(performance.now() - started);
    }
    return judge({
      ...{ name: "one-member-at-100k", unit: "ms", ours: elapsed, theirs: [], peerName: null },
      goal: { kind: "absolute", comparison: "<=", bound: 3 },
    });
  } finally {
    await agent.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** 2,000 rules over 200 sets: from the policy to the list of commands. */
function planning(): BenchResult {
  const text = manyRulesPolicy("10.99.0.1", port);
  const elapsed = Array.from({ length: 15 }, () => {
    const policy = parsePolicy(text);
    const started = performance.now();
    const program = compile(policy);
    if (program !== null) planSafe(null, program, new Set());
    return performance.now() - started;
  });
  return judge({
    ...{ name: "compile-plan-2000-rules", unit: "ms", ours: elapsed, theirs: [], peerName: null },
    goal: { kind: "absolute", comparison: "<=", bound: 50 },
  });
}
