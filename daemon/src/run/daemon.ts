import { returnFreedMemory, sendDatagram, trimAllocator } from "@antenna/netlink";
import {
  type AddressSet,
  type Agent,
  AntennaError,
  createAgent,
  type EssentialFacts,
  type Policy,
  readPolicyFile,
} from "@antenna/sdk";
import { ControlServer } from "@antenna/sdk/control-socket";
import type { Configuration } from "../config/keys.js";
import type { StatusDocument } from "../documents.js";
import { socketPath } from "../locate.js";
import { Owned } from "../owned.js";
import { demandCapabilities, neededCapabilities } from "./capabilities.js";
import { controlHandler } from "./control-handler.js";
import type { ControllerSide } from "./controller-side.js";
import { demandFreeMark } from "./cut-mark.js";
import { essentialFacts } from "./essential-facts.js";
import { Exclusive } from "./exclusive.js";
import { GarbageCollector } from "./garbage.js";
import type { Log } from "./log.js";
import { type Platform, platform } from "./platform.js";
import { PolicySource } from "./policy-source.js";
import { Problems } from "./problems.js";
import { ResolverWatch } from "./resolver-watch.js";
import { ServiceManager } from "./service-manager.js";
import { emptyStateDir, removeIdentity } from "./state-dir.js";
import { statusDocument } from "./status-document.js";
import { UsageMeter } from "./usage.js";

export interface DaemonOptions {
  readonly values: Configuration;
  /** Reads flags, environment and file again, for `reload`. */
  readonly readConfiguration: () => Promise<Configuration>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The pairing key at hand; asked for only on a host that has a controller and no identity. */
  readonly pairingKey: () => Promise<string | null>;
  readonly version: string;
  readonly log: Log;
  /** Called when the daemon was asked over its socket to stop. */
  readonly onPurged: () => void;
}

/**
 * The daemon: an agent of the SDK, fed by a controller or a policy file and by the host's resolvers, asked over the control socket. It owns
 * everything that it opens, and closes it in the opposite order.
 */
export class Daemon implements AsyncDisposable {
  readonly #options: DaemonOptions;
  readonly #problems = new Problems();
  readonly #owned = new Owned();
  readonly #closing = new AbortController();
  #values: Configuration;
  #agent: Agent | null = null;
  #manager: ServiceManager | null = null;
  #meter: UsageMeter | null = null;
  #garbage: GarbageCollector | null = null;
  #resolvers: ResolverWatch | null = null;
  #policies: PolicySource | null = null;
  #side: ControllerSide | null = null;
  /** The controller, before the link itself has it let through. */
  #controller: NonNullable<EssentialFacts["controller"]> | null = null;
  #purged = false;
  #closed: Promise<void> | null = null;

  private constructor(options: DaemonOptions) {
    this.#options = options;
    this.#values = options.values;
  }

  /**
   * Resolves when the agent is open: the rules of an earlier run stand, the policy file is being read. Rejects with
   * AntennaError, everything closed again: `not-permitted`, `busy`, `unsupported`, `storage`, …
   */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const daemon = new Daemon(options);
    try {
      await daemon.#open();
      return daemon;
    } catch (reason) {
      await daemon.close();
      throw reason;
    }
  }

  /** Reads configuration, policy file and resolvers again. Never rejects; what is wrong is a problem. */
  async reload(): Promise<void> {
    const { log } = this.#options;
    try {
      await this.#adopt(await this.#options.readConfiguration());
      this.#problems.clear("config-refused");
    } catch (reason) {
      const error = AntennaError.from(reason, "reload the configuration");
      const problems = error.problems.map(({ path, problem }) => `${path}: ${problem}`);
      this.#problems.raise(
        "config-refused",
        [`${error.message}; what is in force stays`, ...problems].join("; "),
      );
      log.error({ err: error.message, problems: error.problems }, "configuration not reloaded");
    }
    await this.#resolvers?.refresh();
    await this.#policies?.reload();
  }

  /** Takes everything of ours out of the kernel and the state directory; `close` comes after. */
  async purge(): Promise<unknown> {
    this.#policies?.[Symbol.dispose]();
    const agent = this.#required();
    await this.#side?.[Symbol.asyncDispose]();
    const removal = await agent.purge();
    // Whoever asked is told that it is done when the private key is gone too.
    await removeIdentity(this.#values.stateDir);
    this.#purged = true;
    this.#options.log.info({ ...removal }, "purged");
    return removal;
  }

  /** Stops; the rules stay. Idempotent, joins one in flight. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    this.#manager?.stopping();
    await this.#manager?.settled();
    await this.#owned[Symbol.asyncDispose]();
  }

  async #open(): Promise<void> {
    const { environment, log } = this.#options;
    const values = this.#values;
    const { stateDir, namespace } = values;
    const socket = socketPath(stateDir);
    await demandCapabilities("start", neededCapabilities(namespace));
    this.#owned.use(await Exclusive.take(stateDir, namespace));
    this.#owned.use({
      [Symbol.asyncDispose]: async () => (this.#purged ? await emptyStateDir(stateDir) : undefined),
    });
    const send = (path: string, text: string): Promise<void> => sendDatagram(path, Buffer.from(text));
    this.#manager = this.#owned.use(new ServiceManager({ environment, send, logger: log }));
    returnFreedMemory();
    this.#garbage = this.#owned.use(new GarbageCollector({ trim: trimAllocator }));
    this.#meter = this.#owned.use(new UsageMeter(stateDir));
    const handler = controlHandler({
      agent: () => this.#agent,
      status: () => this.#status(),
      isOwnAddress: async (peer) => await (await platform()).isOwnAddress(namespace, peer),
      foreign: async (question, { verdict }) => {
        const accepted = values.onAllow === "accept" && verdict === "allowed";
        return await (await platform()).foreignRules(namespace, question, { accepted });
      },
      purge: () => this.#purgeAndStop(),
    });
    this.#owned.use(await ControlServer.listen({ path: socket, handler, logger: log }));
    this.#resolvers = this.#owned.use(
      await ResolverWatch.open({ namespace, logger: log, onChange: () => void this.#refreshEssentials() }),
    );
    const system = await platform();
    await demandFreeMark(system, { namespace, cutMark: values["kernel.cutMark"], logger: log });
    const side = await this.#openController(system);
    this.#side = side;
    const pairingKey = side?.isPaired === false ? await this.#options.pairingKey() : null;
    const agent = await createAgent({
      ...system.ports,
      ...(side !== null && {
        link: side.link,
        context: [await system.context({ cloud: values["context.cloud"] })],
      }),
      commitConfirm: {
        windowMs: values["commitConfirm.window"],
        canaries: values["commitConfirm.canaries"],
      },
      stateDir,
      namespace,
      settleMs: values.settle,
      onAllow: values.onAllow,
      essentials: this.#essentials(),
      kernel: {
        cutMark: values["kernel.cutMark"],
        nflogGroup: values["kernel.nflogGroup"],
        nflogRate: values["kernel.nflogRate"],
      },
      budget: {
        cpuPercent: values["budget.cpuPercent"],
        memoryMiB: values["budget.memoryMiB"],
        diskMiB: values["budget.diskMiB"],
      },
      boot: values.boot,
      logger: log,
    });
    this.#agent = this.#owned.use(agent);
    this.#follow(agent);
    if (side === null) await this.#openPolicies(agent);
    else if (!side.isPaired) side.pair(pairingKey, (addresses, port) => this.#letThrough(addresses, port));
  }

  async #openController(system: Platform): Promise<ControllerSide | null> {
    const { version, log } = this.#options;
    const values = this.#values;
    const { controller } = values;
    if (controller === null) return null;
    const { ControllerSide } = await import("./controller-side.js");
    const resolvers = (): readonly string[] => this.#resolvers?.servers ?? [];
    const problems = this.#problems;
    return this.#owned.use(
      new ControllerSide({ controller, values, version, system, resolvers, problems, log }),
    );
  }

  async #openPolicies(agent: Agent): Promise<void> {
    const { policy: path } = this.#values;
    const { log } = this.#options;
    if (path === null) {
      const message =
        "no policy and no controller is named; start with --policy FILE or --controller HOST:PORT, or set one of them in the configuration";
      this.#problems.raise("policy-missing", message);
      log.warn({}, message);
      return;
    }
    const apply = async (policy: Policy): Promise<void> => {
      await agent.apply(policy, { signal: this.#closing.signal });
    };
    const read = async (file: string, signal: AbortSignal): Promise<Policy> => {
      this.#garbage?.makeRoom();
      return await readPolicyFile(file, { signal }).finally(() => this.#garbage?.worked());
    };
    const source = await PolicySource.open({ path, read, apply, problems: this.#problems, logger: log });
    this.#policies = this.#owned.use(source);
  }

  /** What the agent tells goes to the log and to the service manager. */
  #follow(agent: Agent): void {
    const { log } = this.#options;
    agent.on("policy", (event) => {
      this.#garbage?.worked();
      log.info({ ...event }, "policy in force");
      this.#manager?.status(`policy ${event.version} in force, mode ${event.mode}`);
      this.#manager?.ready();
    });
    agent.on("state", ({ workload, state, previous }) => log.info({ workload, state, previous }, "state"));
    agent.on("drift", ({ workload, differences, writer, elapsedMs }) => {
      const shown = differences.slice(0, 20);
      log.warn({ workload, differences: shown, of: differences.length, writer, elapsedMs }, "drift repaired");
    });
    agent.on("cut", ({ workload, reason, cut, restored, socketsEnded }) => {
      log.info({ workload, reason, cut, restored, socketsEnded }, "flows cut");
    });
    agent.on("problem", ({ workload, problem, standing }) => {
      if (standing) log.error({ workload, code: problem.code }, problem.message);
      else log.info({ workload, code: problem.code }, "problem over");
    });
    const { policyVersion, state } = agent.status();
    if (policyVersion !== null && (state === "in-sync" || state === "idle")) this.#manager?.ready();
  }

  #required(): Agent {
    if (this.#agent !== null) return this.#agent;
    throw new AntennaError({
      code: "busy",
      operation: "purge",
      message: "the daemon is still starting; try again",
    });
  }

  async #purgeAndStop(): Promise<unknown> {
    const removal = await this.purge();
    this.#options.onPurged();
    return removal;
  }

  #essentials(): EssentialFacts {
    const facts = essentialFacts(this.#values, this.#resolvers?.servers ?? []);
    return this.#controller === null ? facts : { ...facts, controller: this.#controller };
  }

  /** The controller of a host that is not paired; afterwards its link sees to it. */
  async #letThrough(addresses: AddressSet, port: number): Promise<void> {
    this.#controller = { addresses, port };
    await this.#agent?.setEssentials(this.#essentials(), { signal: this.#closing.signal });
  }

  async #refreshEssentials(): Promise<void> {
    try {
      await this.#agent?.setEssentials(this.#essentials(), { signal: this.#closing.signal });
    } catch (reason) {
      const error = AntennaError.from(reason, "renew the essentials");
      if (error.code === "aborted" || error.code === "closed") return;
      this.#options.log.error({ err: error.message, detail: error.detail }, "essentials not renewed");
    }
  }

  /** Takes over what can change while running; says of the rest that it waits for a restart. */
  async #adopt(values: Configuration): Promise<void> {
    const { log } = this.#options;
    const before = this.#values;
    // Checked before anything is taken over: a bad list changes nothing.
    essentialFacts(values, []);
    log.setLevel(values["log.level"]);
    this.#values = {
      ...before,
      "log.level": values["log.level"],
      "essentials.dns": values["essentials.dns"],
      "essentials.ntp": values["essentials.ntp"],
      "essentials.allow": values["essentials.allow"],
    };
    const waiting = Object.entries(values).filter(
      ([name, value]) => !sameValue(value, valueAt(this.#values, name)),
    );
    if (waiting.length > 0) {
      log.warn(
        { keys: waiting.map(([name]) => name) },
        "these keys take effect when the daemon is started anew",
      );
    }
    if (this.#agent !== null) await this.#refreshEssentials();
  }

  async #status(): Promise<StatusDocument> {
    return await statusDocument({
      agent: this.#agent?.status() ?? null,
      problems: this.#problems,
      meter: this.#meter,
      inTheWay: async () => (await this.#side?.inTheWay()) ?? null,
      values: this.#values,
      version: this.#options.version,
    });
  }
}

function valueAt(values: Configuration, name: string): unknown {
  return Object.entries(values).find(([key]) => key === name)?.[1];
}

function sameValue(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
