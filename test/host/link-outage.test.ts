import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createNamespace, inside, link, type Namespace } from "../lab/namespace.js";

const iptables = "/usr/sbin/iptables";
const program = fileURLToPath(new URL("./link-process.js", import.meta.url));
const address = "10.77.0.1";
const port = "8443";

interface Told {
  readonly state?: string;
  readonly problems?: readonly string[];
  readonly reach?: { readonly addresses: readonly string[]; readonly port: number };
  readonly serving?: number;
  readonly probe?: string;
  readonly detail?: string | null;
  readonly closed?: boolean;
}

/** One side of the link in its namespace; killed when disposed. */
class Side implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #told: Told[] = [];
  readonly #waiting = new Set<() => void>();
  stderr = "";

  constructor(namespace: Namespace, role: string, stateDir: string) {
    const node = [process.execPath, "--conditions=in-repo", program, role, stateDir, address, port];
    const [file, argv] = inside(namespace.path, node[0] ?? "", node.slice(1));
    this.#child = spawn(file, argv, { stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stderr?.on("data", (text) => {
      this.stderr += text;
    });
    createInterface({ input: this.#child.stdout ?? assert.fail("no stdout") }).on("line", (line) => {
      this.#told.push(JSON.parse(line));
      for (const look of this.#waiting) look();
    });
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** The next thing told that fulfils this; what came before it is passed over. */
  until(what: string, holds: (told: Told) => boolean): Promise<Told> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`no ${what}: ${JSON.stringify(this.#told)} ${this.stderr}`));
      }, 30_000);
      const look = (): void => {
        const index = this.#told.findIndex(holds);
        const found = this.#told[index];
        if (found === undefined) return;
        clearTimeout(late);
        this.#waiting.delete(look);
        this.#told.splice(0, index + 1);
        resolve(found);
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** Ends its input, and gives its exit code. */
  async end(): Promise<number | null> {
    const exit = once(this.#child, "exit");
    this.#child.stdin?.end();
    const [code] = await exit;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGKILL");
      await once(this.#child, "exit");
    }
  }
}

/** Packets that left towards the controller or tried to, by the counter of a rule. */
async function attempts(namespace: Namespace): Promise<number> {
  const text = await namespace.exec(iptables, ["-nvxL", "OUTPUT"]);
  const line = text.split("\n").find((each) => each.includes("counted"));
  return Number(line?.trim().split(/\s+/)[0]);
}

test("the address is dialled only once it is let through; outages are told and end by themselves", async () => {
  await using agentSpace = await createNamespace();
  await using controllerSpace = await createNamespace();
  await link(
    { namespace: agentSpace, interface: "eth0", addresses: ["10.77.0.2/24"] },
    { namespace: controllerSpace, interface: "eth0", addresses: [`${address}/24`] },
  );
  const stateDir = await mkdtemp(join(tmpdir(), "antenna-outage-"));
  const rule = (action: string, ...more: readonly string[]) =>
    agentSpace.exec(iptables, ["-w", action, "OUTPUT", "-p", "tcp", "--dport", port, ...more]);
  try {
    await rule("-A", "-m", "comment", "--comment", "counted");
    await rule("-A", "-j", "DROP");
    await using controller = new Side(controllerSpace, "controller", stateDir);
    await controller.until("controller", ({ serving }) => serving !== undefined);
    await using agent = new Side(agentSpace, "agent", stateDir);
    const { reach } = await agent.until("request to be let through", (told) => told.reach !== undefined);
    assert.deepEqual(reach, { addresses: [address], port: Number(port) });
    assert.equal(await attempts(agentSpace), 0);
    await rule("-D", "-j", "DROP");
    agent.say("go");
    await agent.until("session", ({ state }) => state === "connected");
    assert.ok((await attempts(agentSpace)) > 0);
    agent.say("probe");
    assert.equal((await agent.until("probe", ({ probe }) => probe !== undefined)).probe, "answered");

    // The way is cut without a word: silence ends the session. Three heartbeats are three seconds.
    await rule("-A", "-j", "DROP");
    const silent = await agent.until("silence", ({ problems }) => (problems?.length ?? 0) > 0);
    assert.match(silent.problems?.join() ?? "", /nothing was heard for 3 s/);
    // A way that is closed with an answer is told in the system's words, at once.
    await rule("-D", "-j", "DROP");
    await rule("-A", "-j", "REJECT", "--reject-with", "tcp-reset");
    agent.say("probe");
    const refused = await agent.until("refused probe", ({ probe }) => probe !== undefined);
    assert.equal(refused.probe, "unreachable");
    assert.match(refused.detail ?? "", /ECONNREFUSED/);
    await rule("-D", "-j", "REJECT", "--reject-with", "tcp-reset");
    await agent.until("session again", ({ state }) => state === "connected");

    await rule("-A", "-j", "DROP");
    await agent.until("silence", ({ problems }) => (problems?.length ?? 0) > 0);
    // Ended while a SYN is on its way that nobody answers: at once, not when TCP gives up.
    const started = performance.now();
    agent.say("probe");
    await new Promise((resolve) => setTimeout(resolve, 100));
    const code = agent.end();
    await agent.until("close", ({ closed }) => closed === true);
    assert.ok(performance.now() - started < 5_000);
    await rule("-D", "-j", "DROP");
    assert.equal(await code, 0);
  } finally {
    await rm(stateDir, { recursive: true });
  }
});
