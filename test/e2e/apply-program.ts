import { accessSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { linuxHost } from "@antenna/linux";
import { type Agent, AntennaError, createAgent } from "@antenna/sdk";
import type { ApplyAnswer, ApplyRequest } from "./apply-protocol.js";
import type { Kill } from "./kill-at.js";

// An agent of the SDK in the namespace it is started in, told on stdin what to apply: `apply-program.js STATE-DIR`.
// It tells its tracer when an apply begins and ends.

/** Sweeping and storing go on after an apply is in force. */
const afterwardsMs = 80;

const [stateDir = ""] = process.argv.slice(2);
const agent = await createAgent({ ...linuxHost(), stateDir, settleMs: 0 });

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await act(agent, JSON.parse(line) as ApplyRequest);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await agent.close();

async function act(agent: Agent, request: ApplyRequest): Promise<ApplyAnswer> {
  switch (request.op) {
    case "stand":
      return await standing(agent);
    case "apply":
      return await apply(agent, await readFile(request.file), request.kill);
  }
}

async function apply(agent: Agent, bytes: Uint8Array, kill: Kill | null): Promise<ApplyAnswer> {
  if (kill !== null) tellTracer(`begin/${kill.at}/${kill.victim}`);
  try {
    await agent.apply(bytes);
  } catch (reason) {
    const error = AntennaError.from(reason, "apply");
    return { ...shown(agent), refused: `${error.message} ${error.detail ?? ""}` };
  }
  if (kill === null) return shown(agent);
  await delay(afterwardsMs);
  tellTracer("end");
  return await standing(agent);
}

/** What is in force once nothing is under way any more. */
async function standing(agent: Agent): Promise<ApplyAnswer> {
  const end = performance.now() + 10_000;
  while (performance.now() < end) {
    const { state, policyDigest } = agent.status();
    if (state === "in-sync" || policyDigest === null) break;
    await delay(2);
  }
  if (agent.status().policyDigest === null) return shown(agent);
  const { points } = await agent.verify();
  return {
    ...shown(agent),
    differences: points.flatMap((point) =>
      point.differences.map(({ object, detail }) => `${object}: ${detail}`),
    ),
  };
}

function shown(agent: Agent): ApplyAnswer {
  const { state, policyDigest, problems } = agent.status();
  const messages = problems.map(({ message }) => message);
  return { state, policyDigest, differences: [], problems: messages, refused: null };
}

/** A look for a file that is not there: a system call that changes nothing and that a tracer recognises. */
function tellTracer(word: string): void {
  try {
    accessSync(`/kill-at/${word}`);
  } catch {
    // It is never there.
  }
}
