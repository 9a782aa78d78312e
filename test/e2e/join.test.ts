import assert from "node:assert/strict";
import { test } from "node:test";
import type { Workload } from "../lab/workload.js";
import { figures, times, within } from "./link-figures.js";
import { LinkLab } from "./link-lab.js";
import { Probe } from "./link-probe.js";
import { sharedNow } from "./link-probe-protocol.js";

// How fast a fleet follows: a workload joins, one rule changes. Real agents, real packets: a peer has admitted a workload
// when the first packet of a flow it has never seen is answered.

const peers = 19;
const joins = times(15, 100);
const changes = times(6, 40);
const [probed, second] = [9_999, 9_998];
const names = Array.from({ length: peers }, (_, index) => `app${index + 1}`);

function policy(services: readonly string[]): string {
  return [
    "services:",
    `  first: [{ protocol: udp, ports: [${probed}] }]`,
    `  second: [{ protocol: udp, ports: [${second}] }]`,
    "rulesets:",
    "  - name: fleet",
    "    rules:",
    `      - { from: { role: web }, to: { role: app }, services: [${services.join(", ")}] }`,
    "enforcement:",
    "  - { match: {}, mode: full }",
    "",
  ].join("\n");
}

test("a workload joins, and one rule changes, on twenty agents", { timeout: 600_000 }, async (t) => {
  await using lab = await LinkLab.begin();
  const hosts = await lab.agents(
    names.map((name, index) => ({ name, number: 10 + index, options: { labels: { role: "app" } } })),
  );
  await Promise.all(
    hosts.flatMap(({ applications }) => [probed, second].map((port) => applications.echo(port))),
  );
  const joiner = await lab.host("web", 100);
  await lab.startAgent(joiner);
  assert.equal(await lab.settled(await lab.apply(policy(["first"]))), "in-force");
  const probe = new Probe(joiner.namespace);
  lab.own(() => probe[Symbol.asyncDispose]());
  const targets = hosts.map(({ address }) => address);

  await t.test(`${joins} joins: admitted by all peers within 500 ms`, async () => {
    const asked = { targets, port: probed, patienceMs: 20_000 };
    const denied = await probe.ask({ op: "reach", since: sharedNow(), ...asked, patienceMs: 500 });
    assert.equal(denied.firstMs, null, "somebody answers who has not admitted it");
    let joined = 0;
    const join = async () => {
      // The first loads what later ones have at hand.
      if (joined > 0) await leave(lab, probe, joiner, asked);
      const key = await lab.key({ role: "web" });
      const { endpoint: controller } = lab.controller;
      const host = { controller, key, stateDir: joiner.stateDir };
      const result = await probe.ask({ op: "join", ...host, ...asked });
      if (result.late.length > 0)
        assert.fail(`join ${joined}: not admitted by ${result.late}${await lab.diary(joiner)}`);
      joined++;
      return result;
    };
    await join();
    await within(500, async () => {
      const results: Awaited<ReturnType<typeof join>>[] = [];
      for (let round = 0; round < joins; round++) results.push(await join());
      const pick = (what: "pairedMs" | "firstMs" | "allMs") => results.map((one) => one[what] ?? Number.NaN);
      figures("join: the pairing call alone", pick("pairedMs"));
      figures("join: until the first peer accepts a packet", pick("firstMs"));
      return figures(`join: until all ${peers} peers do`, pick("allMs"));
    });
  });

  await t.test(`${changes} changes of one rule: in force on twenty agents within 1 s`, async () => {
    await lab.inSync();
    const asked = { targets, port: second, patienceMs: 20_000 };
    const change = async (isAdding: boolean) => {
      const since = sharedNow();
      const watching = probe.ask({ op: isAdding ? "reach" : "lose", since, ...asked });
      const revision = await lab.apply(policy(isAdding ? ["first", "second"] : ["first"]));
      const { allMs, late } = await watching;
      if (late.length > 0) assert.fail(`not in force on ${late}${await lab.diary(joiner)}`);
      assert.equal(await lab.settled(revision), "in-force");
      return allMs ?? Number.NaN;
    };
    await within(1_000, async () => {
      const [added, gone]: [number[], number[]] = [[], []];
      for (let round = 0; round < changes; round += 2) {
        added.push(await change(true));
        gone.push(await change(false));
      }
      const more = figures("a rule added: until it is in force on all 20 agents", added);
      return Math.max(more, figures("a rule revoked: until it is in force on all 20 agents", gone));
    });
  });
});

/** The operator ends the identity, every peer lets go of the address, and the host is nobody again. */
async function leave(
  lab: LinkLab,
  probe: Probe,
  joiner: Workload,
  asked: { readonly targets: readonly string[]; readonly port: number; readonly patienceMs: number },
): Promise<void> {
  const { id } = await lab.workload(joiner.name);
  await lab.ask("workload-revoke", { id });
  const { late } = await probe.ask({ op: "lose", since: sharedNow(), ...asked });
  assert.deepEqual(late, [], "somebody still lets a revoked workload in");
  await probe.ask({ op: "unpair", stateDir: joiner.stateDir });
}
