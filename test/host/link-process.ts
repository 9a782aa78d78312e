import { createInterface } from "node:readline";
import { AntennaError, grpcLink, systemClock } from "@antenna/sdk";
import { MemoryLogger } from "@antenna/sdk/testing";
import { FakeAgent } from "../unit/link-agent.js";
import { pairHost, TestAuthority } from "../unit/link-authority.js";
import { FakeController } from "../unit/link-controller.js";

// One side of a link, in a process of its own: `controller STATEDIR ADDRESS PORT` pairs the host whose directory that is and
// serves it; `agent STATEDIR ADDRESS PORT` connects. What happens is told as JSON, a line each.

const [, , role, stateDir = "", address = "", port = ""] = process.argv;

function tell(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

async function serve(): Promise<void> {
  const authority = new TestAuthority();
  await pairHost(stateDir, authority);
  const controller = await FakeController.start({ authority, address, port: Number(port) });
  tell({ serving: controller.port });
  for (;;) {
    const { session } = await controller.session();
    session.welcome(authority, { heartbeatMs: 1_000 });
    const pings = setInterval(() => session.send({ kind: "ping", nonce: Buffer.alloc(8) }), 1_000);
    void session.ended().then(() => clearInterval(pings));
  }
}

async function connect(): Promise<void> {
  const lines = createInterface({ input: process.stdin });
  const waiting: (() => void)[] = [];
  const agent = new FakeAgent();
  agent.onReach = () => {
    tell({ reach: agent.reached.at(-1) });
    return agent.reached.length > 1 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve));
  };
  const link = grpcLink({ controller: `${address}:${port}`, stateDir });
  link.onStatus(({ state, problems }) => tell({ state, problems: problems.map(({ message }) => message) }));
  lines.on("line", (line) => {
    if (line === "go") for (const go of waiting.splice(0)) go();
    if (line !== "probe") return;
    link.probe().then(
      () => tell({ probe: "answered" }),
      (reason: unknown) => {
        const { code, detail } = AntennaError.from(reason, "probe");
        tell({ probe: code, detail });
      },
    );
  });
  lines.on("close", () => {
    void link[Symbol.asyncDispose]().then(() => tell({ closed: true }));
  });
  link.open(agent, { clock: systemClock, logger: new MemoryLogger() });
}

if (role === "controller") await serve();
else await connect();
