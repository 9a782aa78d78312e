import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readlink } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { AntennaError } from "@antenna/sdk";
import type { CheckItem } from "../documents.js";
import { demandCapabilities } from "../run/capabilities.js";
import { findProgram, type Outcome, runProgram } from "./program.js";

/** One thing to try: rules as `iptables-restore` reads them; the names are those of the items they decide. */
interface Attempt {
  readonly name: string;
  readonly rules: readonly string[];
  readonly state: "yellow" | "red";
}

const setName = "ant-probe";

const attempts: readonly Attempt[] = [
  {
    name: "conntrack",
    rules: [
      "-A INPUT -m conntrack --ctstate ESTABLISHED -j RETURN",
      "-A INPUT -m conntrack --ctdir REPLY -j RETURN",
    ],
    state: "red",
  },
  { name: "connmark", rules: ["-A INPUT -m connmark --mark 0x10000000/0x10000000 -j DROP"], state: "red" },
  { name: "xt_set", rules: [`-A INPUT -m set --match-set ${setName} src -j RETURN`], state: "red" },
  {
    name: "matches",
    rules: [
      "-A INPUT -m comment --comment probe -m limit --limit 50/sec -j RETURN",
      "-A INPUT -p tcp -m multiport --dports 80,443,8000:8010 -j RETURN",
    ],
    state: "red",
  },
  { name: "NFLOG", rules: ["-A INPUT -j NFLOG --nflog-group 4711 --nflog-prefix probe"], state: "red" },
  { name: "policy match", rules: ["-A INPUT -m policy --dir in --pol none -j DROP"], state: "yellow" },
  { name: "REJECT", rules: ["-A INPUT -p tcp -j REJECT --reject-with tcp-reset"], state: "yellow" },
];

/**
 * Tries every kind of rule in a network namespace made for it. The host's own rules are not touched; the kernel may load
 * modules. Rejects with `not-permitted` without SYS_ADMIN.
 */
export async function probeKernel(signal: AbortSignal): Promise<readonly CheckItem[]> {
  await demandCapabilities("probe", ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"]);
  await using scratch = await ScratchNamespace.open();
  const sets = await scratch.run(
    "ipset",
    ["restore"],
    [
      `create ${setName} hash:net family inet`,
      `create ${setName}6 hash:net family inet6`,
      `create ${setName}p hash:ip,port family inet`,
      `create ${setName}n hash:net,port family inet`,
      "",
    ].join("\n"),
  );
  const items = [item("ip_set", "red", sets)];
  for (const { name, rules, state } of attempts) {
    if (signal.aborted) break;
    const text = ["*filter", ...rules, "COMMIT", ""].join("\n");
    items.push(item(name, state, await scratch.run("iptables-restore", ["--noflush", "--wait", "5"], text)));
  }
  return items;
}

function item(name: string, state: "yellow" | "red", outcome: Outcome): CheckItem {
  if (outcome.ok) return { name, state: "green", found: "tried, works", advice: null };
  const words = outcome.stderr.trim().split("\n")[0] ?? "";
  return {
    name,
    state,
    found: `tried, refused: ${words}`,
    advice: "install the kernel's full set of modules",
  };
}

/** A network namespace that lives as long as a process that does nothing in it. */
class ScratchNamespace implements AsyncDisposable {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async open(): Promise<ScratchNamespace> {
    const holder = spawn(need("unshare"), ["--net", "--", need("sleep"), "60"], { stdio: "ignore", env: {} });
    const scratch = new ScratchNamespace(holder);
    try {
      await once(holder, "spawn");
      await scratch.#entered();
      return scratch;
    } catch (reason) {
      await scratch[Symbol.asyncDispose]();
      throw AntennaError.from(reason, "make a scratch network namespace");
    }
  }

  async run(program: string, args: readonly string[], input: string): Promise<Outcome> {
    return await runProgram(need("nsenter"), [`--net=${this.#path()}`, "--", need(program), ...args], input);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#holder.exitCode !== null || this.#holder.signalCode !== null) return;
    const ended = once(this.#holder, "exit");
    this.#holder.kill("SIGKILL");
    await ended;
  }

  /** Until unshare(1) has done its work the child is still in our own namespace, where nothing may be tried. */
  async #entered(): Promise<void> {
    const own = await readlink("/proc/self/ns/net");
    for (let waitedMs = 0; waitedMs < 5_000; waitedMs += 10) {
      if (this.#holder.exitCode !== null) break;
      if ((await readlink(this.#path()).catch(() => own)) !== own) return;
      await sleep(10);
    }
    throw new AntennaError({
      code: "unsupported",
      operation: "make a scratch network namespace",
      message: "unshare --net does not give one; a probe is not possible here",
    });
  }

  #path(): string {
    return `/proc/${this.#holder.pid}/ns/net`;
  }
}

function need(name: string): string {
  const file = findProgram(name);
  if (file !== null) return file;
  throw new AntennaError({
    code: "unsupported",
    operation: "probe",
    message: `${name} is not installed; install the packages iptables, ipset and util-linux`,
  });
}
