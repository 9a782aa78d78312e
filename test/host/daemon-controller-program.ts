import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { Controller } from "@antenna/controller/internal/fleet/controller.js";
import { systemClock } from "@antenna/sdk";
import { MemoryLogger } from "@antenna/sdk/testing";
import { MemoryStore, MemoryTrustFiles } from "../unit/controller-memory-store.js";

/**
 * A controller with everything real but its disk, in a process of its own, so that it can live in a network namespace. Takes one
 * call a line on stdin, as JSON, and answers in order. `node … HOST PORT`
 */
const [host = "127.0.0.1", port = "8443"] = process.argv.slice(2);

const controller = await Controller.start({
  store: new MemoryStore(),
  files: new MemoryTrustFiles(),
  clock: systemClock,
  logger: new MemoryLogger(),
  listen: { host, port: Number(port), names: [] },
  hostAddresses: [],
  onFailure: (reason) => {
    throw reason;
  },
});
// What a canary may knock at.
createServer((socket) => socket.destroy()).listen(7_000, host);

const calls: Readonly<Record<string, (text: string) => unknown>> = {
  key: (role) =>
    controller.createKey({ labels: { role }, uses: 10, ttlMs: 3_600_000, addresses: [], delegate: [] }),
  apply: (text) => controller.applyPolicy(text),
  history: () => controller.history(),
  workloads: () => controller.workloads(),
  revoke: (workload) => controller.revokeWorkload(workload),
  revokeKey: (id) => controller.revokeKey(id),
};

process.stdout.write('"ready"\n');
for await (const line of createInterface({ input: process.stdin })) {
  const { call, text } = JSON.parse(line) as { call: string; text: string };
  const answer = await Promise.resolve(calls[call]?.(text)).catch((reason: unknown) => ({
    error: String(reason),
  }));
  process.stdout.write(`${JSON.stringify(answer ?? null)}\n`);
}
await controller.close();
process.exit(0);
