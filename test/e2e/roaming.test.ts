import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { figures, times, within } from "./link-figures.js";
import { LinkLab } from "./link-lab.js";
import { Probe } from "./link-probe.js";
import { sharedNow } from "./link-probe-protocol.js";

// A workload changes its address under load: its peers follow by themselves, nobody touches the label policy, and whoever
// did not move notices nothing.

const peers = times(7, 19);
const moves = times(20, 100);
const [probed, sunk, streamed] = [9_999, 9_000, 8_080];
const [firstFree, free] = [100, 150];

const policy = [
  "services:",
  `  probe: [{ protocol: udp, ports: [${probed}] }]`,
  `  load: [{ protocol: udp, ports: [${sunk}] }, { protocol: tcp, ports: [${streamed}] }]`,
  "rulesets:",
  "  - name: fleet",
  "    rules:",
  "      - { from: { role: web }, to: { role: app }, services: [probe, load] }",
  "enforcement:",
  "  - { match: {}, mode: full }",
  "",
].join("\n");

test(`${moves} moves under load: admitted within 500 ms, others lose nothing`, {
  timeout: 600_000,
}, async () => {
  await using lab = await LinkLab.begin();
  const apps = Array.from({ length: peers }, (_, index) => ({
    ...{ name: `app${index + 1}`, number: 10 + index },
    options: { labels: { role: "app" } },
  }));
  const webs = ["web1", "web2"].map((name, index) => ({
    ...{ name, number: 90 + index },
    options: { labels: { role: "web" } },
  }));
  const hosts = await lab.agents([...apps, ...webs]);
  const [roamer, stayer] = hosts.slice(peers);
  const [app] = hosts;
  if (roamer === undefined || stayer === undefined || app === undefined) throw new Error("no hosts");
  const targets = hosts.slice(0, peers).map(({ address }) => address);
  await Promise.all(hosts.slice(0, peers).map(({ applications }) => applications.echo(probed)));
  await app.applications.sink(sunk);
  await app.applications.listen([streamed]);
  assert.equal(await lab.settled(await lab.apply(policy)), "in-force");
  await lab.inSync();
  const before = { history: await lab.history(), version: (await lab.workload("web2")).policyVersion };
  const text = await lab.ask("policy-show", { revision: null });

  await stayer.applications.openStream("stays", app.address, streamed);
  await stayer.applications.startPump("load", { host: app.address, port: sunk, perSecond: 500, flows: 20 });
  const probe = new Probe(roamer.namespace);
  lab.own(() => probe[Symbol.asyncDispose]());
  const asked = { targets, port: probed, patienceMs: 20_000 };
  await probe.ask({ op: "reach", since: sharedNow(), ...asked });
  let at = roamer.address;
  let next = firstFree;
  await within(500, async () => {
    const elapsed: number[] = [];
    for (let move = 0; move < moves; move++) {
      // Back to the first ones in the end: no flow of a minute ago is asked about again, each round has a port of its own.
      const to = `10.78.0.${firstFree + ((next++ - firstFree) % free)}`;
      const { allMs, late } = await probe.ask({ op: "move", from: `${at}/24`, to: `${to}/24`, ...asked });
      if (late.length > 0) assert.fail(`to ${to}: not admitted by ${late}${await lab.diary(roamer)}`);
      at = to;
      // In the long run the controller takes one session a second of one workload.
      if (moves > 50) await delay(600);
      elapsed.push(allMs ?? Number.NaN);
      await lab.until("the roamer to be in sync", (listed) =>
        listed.some(
          ({ name, online, addresses }) => name === "web1" && online && addresses[0]?.address === to,
        ),
      );
    }
    return figures("roaming: from the new address until all peers admit it", elapsed);
  });
  const load = await stayer.applications.stopPump("load");
  await delay(200);
  const received = await app.applications.received(sunk);
  const stream = await stayer.applications.streamState("stays");
  console.log(
    `others: ${received} of ${load.sent} datagrams arrived, ${stream.echoes} echoes of a TCP stream`,
  );

  assert.deepEqual({ refused: load.refused, lost: load.sent - received }, { refused: 0, lost: 0 });
  assert.ok(stream.open && stream.silentMs < 1_000, `the stream: ${JSON.stringify(stream)}`);
  assert.deepEqual(await lab.history(), before.history, "no new revision of the label policy");
  assert.deepEqual(await lab.ask("policy-show", { revision: null }), text, "its text is the same");
  assert.equal((await lab.workload("web2")).policyVersion, before.version, "web2 has nothing to do with it");
});
