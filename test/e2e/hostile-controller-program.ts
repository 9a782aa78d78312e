import { createInterface } from "node:readline";
import { formatVersion } from "@antenna/sdk";
import type { StatusMessage } from "@antenna/sdk/protocol";
import { TestAuthority } from "../unit/link-authority.js";
import { FakeController, type FakeSession } from "../unit/link-controller.js";

/**
 * A controller's port in a network namespace, which says whatever it is told: a line of JSON on stdin each, the first one is
 * `ServerKey`. What it hears goes to stdout. `node … HOST PORT`
 */
export interface ServerKey {
  readonly chain: string;
  readonly key: string;
}

export type Order =
  | { readonly say: string /** base64 */; readonly times: number }
  | { readonly halfClose: true };

export type Heard =
  | { readonly kind: "ready" | "hello" | "over" | "snapshot-request" }
  | { readonly kind: "pong"; readonly nonce: string }
  | {
      readonly kind: "status";
      readonly refused: string | null /** version and reason */;
      readonly applied: string | null;
    };

const [host = "127.0.0.1", port = "8443"] = process.argv.slice(2);
/** The one that said hello last. */
const current: { session: FakeSession | null } = { session: null };

function tell(heard: Heard): void {
  process.stdout.write(`${JSON.stringify(heard)}\n`);
}

async function listen(opened: FakeSession): Promise<void> {
  for (let message = await opened.message(); message !== null; message = await opened.message()) {
    if (message.kind === "hello") {
      current.session = opened;
      tell({ kind: "hello" });
    } else if (message.kind === "snapshot-request") tell({ kind: "snapshot-request" });
    else if (message.kind === "pong")
      tell({ kind: "pong", nonce: Buffer.from(message.nonce).toString("hex") });
    else if (message.kind === "status") tell(heardOf(message.status));
  }
  if (current.session === opened) current.session = null;
  tell({ kind: "over" });
}

/** In slices: Node 20's HTTP/2 crashes when thousands of writes wait for a stream that the other side resets. */
async function say(bytes: Buffer, times: number): Promise<void> {
  const { session } = current;
  for (let i = 0; i < times && session !== null && !session.isOver; i++) {
    const isTaken = session.sendBytes(bytes);
    if (!isTaken || i % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
  }
}

function heardOf({ refused, applied }: StatusMessage): Heard {
  const version = applied === null ? null : formatVersion(applied.version);
  return {
    kind: "status",
    refused: refused === null ? null : `${formatVersion(refused.version)} ${refused.reason}`,
    applied: version,
  };
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const server = JSON.parse((await lines.next()).value as string) as ServerKey;
await FakeController.start({
  ...{ server, address: host, port: Number(port), authority: new TestAuthority() },
  onSession: (opened) => void listen(opened),
});
tell({ kind: "ready" });
for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
  const order = JSON.parse(line.value) as Order;
  if ("halfClose" in order) current.session?.halfClose();
  else await say(Buffer.from(order.say, "base64"), order.times);
}
process.exit(0);
