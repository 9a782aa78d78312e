import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Agent,
  type AgentEvents,
  type AgentOptions,
  createAgent,
  type Packet,
  type Policy,
  type PolicyDocument,
  parseAddress,
  policyFrom,
  type TrackedFlow,
} from "@antenna/sdk";
import {
  FakeClock,
  type FakeKernel,
  type FakePacketFilter,
  fakePacketFilterProvider,
  MemoryLogger,
} from "@antenna/sdk/testing";
import { packetOf } from "./packet-fixture.js";

/** An agent on a fake kernel and a fake clock, its state in a directory that goes with it. */
export interface Rig extends AsyncDisposable {
  readonly kernel: FakeKernel;
  readonly clock: FakeClock;
  readonly logger: MemoryLogger;
  readonly stateDir: string;
  /** Opens an agent; the one before should be closed: a restart. */
  start(options?: Partial<AgentOptions>): Promise<Agent>;
  /** The filter handed out last. */
  filter(): FakePacketFilter;
  readonly events: { readonly name: keyof AgentEvents; readonly event: AgentEvents[keyof AgentEvents] }[];
  of<Name extends keyof AgentEvents>(name: Name): AgentEvents[Name][];
}

export async function createRig(): Promise<Rig> {
  const stateDir = await mkdtemp(join(tmpdir(), "antenna-unit-"));
  const provider = fakePacketFilterProvider();
  const clock = new FakeClock();
  const logger = new MemoryLogger();
  const agents: Agent[] = [];
  const events: Rig["events"] = [];
  return {
    kernel: provider.kernel,
    clock,
    logger,
    stateDir,
    events,
    of: (name) => events.filter((each) => each.name === name).map((each) => each.event as never),
    filter: () => {
      const last = provider.opened.at(-1);
      if (last === undefined) throw new Error("no filter was opened yet");
      return last;
    },
    async start(options = {}) {
      const agent = await createAgent({
        packetFilter: provider,
        stateDir,
        clock,
        logger,
        random: () => 0,
        settleMs: 0,
        ...options,
      });
      for (const name of ["policy", "state", "drift", "cut", "problem"] as const) {
        agent.on(name, (event) => void events.push({ name, event }));
      }
      agents.push(agent);
      return agent;
    },
    async [Symbol.asyncDispose]() {
      for (const agent of agents) await agent.close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}

/** Moves the clock on in small steps until the work is done; for work that waits for timers and for the disk. */
export async function during<T>(clock: FakeClock, work: Promise<T>, stepMs = 1_000): Promise<T> {
  let done = false;
  const settled = work.finally(() => {
    done = true;
  });
  settled.catch(() => {});
  for (let step = 0; step < 500 && !done; step++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (!done) await clock.advance(stepMs);
  }
  return settled;
}

/** Real time, for the disk; the clock stands still. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  const end = Date.now() + 5_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Web servers may be reached by the clients in `web`, on port 80. */
export function webPolicy(web: readonly string[], more: Partial<PolicyDocument> = {}): Policy {
  return policyFrom({
    mode: "full",
    sets: { web },
    rules: [
      {
        id: "web-in",
        direction: "in",
        action: "allow",
        peers: ["web"],
        services: [{ protocol: "tcp", ports: [80] }],
      },
    ],
    ...more,
  });
}

/** A new connection from there to our port. */
export function packet(from: string, port = 80): Packet {
  const local = from.includes(":") ? "fd00::1" : "10.0.0.1";
  return packetOf({ peer: from, local, destinationPort: port });
}

let nextId = 1;

/** A tracked TCP connection from `from` to our port. */
export function flow(from: string, port = 80, more: Partial<TrackedFlow> = {}): TrackedFlow {
  const source = parseAddress(from);
  const local = source.length === 4 ? parseAddress("10.0.0.1") : parseAddress("fd00::1");
  return {
    id: nextId++,
    zone: 0,
    family: source.length === 4 ? 4 : 6,
    protocol: 6,
    icmpType: null,
    icmpCode: null,
    original: { source, destination: local, sourcePort: 40_000, destinationPort: port },
    reply: { source: local, destination: source, sourcePort: port, destinationPort: 40_000 },
    direction: "in",
    openingSeen: true,
    cut: false,
    closing: false,
    ...more,
  };
}
