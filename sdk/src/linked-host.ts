import { isIP } from "node:net";
import type { Agent } from "./agent.js";
import type { PreviewReport } from "./agent-calls.js";
import type { Canary } from "./agent-options.js";
import { Inventory } from "./context/inventory.js";
import type { WorkloadContext } from "./context/workload-context.js";
import type { EssentialFacts } from "./evaluate/essentials.js";
import type { EnforcementPoint } from "./points/enforcement-point.js";
import { formatAddress, parseAddress } from "./policy/address.js";
import type { AddressSet } from "./policy/address-set.js";
import type { Policy } from "./policy/model.js";
import type {
  Clock,
  ContextSource,
  ControllerLink,
  EnforcementReport,
  LinkedAgent,
  Logger,
  PolicyOffer,
} from "./ports.js";
import { openTcp, type PathAttempt } from "./reconcile/path-attempt.js";

export interface LinkedHostOptions {
  readonly host: EnforcementPoint;
  /** null: there is no controller; the context is gathered all the same. */
  readonly link: ControllerLink | null;
  readonly sources: readonly ContextSource[];
  readonly namespace: string | null;
  readonly essentials: EssentialFacts;
  readonly commitConfirm: { readonly windowMs: number; readonly canaries: readonly Canary[] };
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly signal: AbortSignal;
  /** For the events that operators want to know of; see `Agent.on`. */
  readonly on: Agent["on"];
}

const [tcp, udp, dnsPort] = [6, 17, 53];

/** The host's point as its controller sees it: tells context and status, takes policies, puts them on trial. */
export class LinkedHost implements LinkedAgent, AsyncDisposable {
  readonly #options: LinkedHostOptions;
  readonly #inventory: Inventory;
  readonly #listening: Disposable[] = [];
  /** What the agent was told to let through; the controller comes on top. */
  #essentials: EssentialFacts;
  #controller: NonNullable<EssentialFacts["controller"]> | null = null;

  constructor(options: LinkedHostOptions) {
    this.#options = options;
    this.#essentials = options.essentials;
    this.#inventory = new Inventory(options.sources, () => options.link?.changed("context"));
  }

  /** Begins when the stored policy stands: enforcement never waits for the controller. */
  async start(): Promise<void> {
    const { host, link, namespace, clock, logger, random, signal } = this.#options;
    await host.standing();
    if (signal.aborted) return;
    this.#inventory.start({ namespace, clock, logger, random });
    if (link === null) return;
    this.#tellEvents(link);
    link.open(this, { clock, logger });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const listening of this.#listening.splice(0)) listening[Symbol.dispose]();
    await this.#options.link?.[Symbol.asyncDispose]();
    await this.#inventory[Symbol.asyncDispose]();
  }

  /** What is let through, the controller included. */
  get essentials(): EssentialFacts {
    return this.#controller === null
      ? this.#essentials
      : { ...this.#essentials, controller: this.#controller };
  }

  async setEssentials(facts: EssentialFacts, signal?: AbortSignal): Promise<void> {
    this.#essentials = facts;
    await this.#options.host.setEssentials(this.essentials, signal);
  }

  // ---- as the link sees it ----

  report(): EnforcementReport {
    return this.#options.host.report();
  }

  context(): WorkloadContext | null {
    return this.#inventory.context();
  }

  policy(): Policy | null {
    return this.#options.host.accepted;
  }

  async reach(addresses: AddressSet, port: number): Promise<void> {
    const { controller } = this.essentials;
    if (controller != null && controller.port === port && controller.addresses.equals(addresses)) return;
    this.#controller = { addresses, port };
    await this.#options.host.setEssentials(this.essentials, this.#options.signal);
  }

  async offer({ policy, version, digest, proof, probation }: PolicyOffer): Promise<void> {
    const { host, commitConfirm } = this.#options;
    const trial = probation ? { paths: this.#paths(), windowMs: commitConfirm.windowMs } : null;
    try {
      await host.offer({ policy: { ...policy, version }, digest, proof, trial });
    } finally {
      // Floor and outcome may have changed without any event.
      this.#options.link?.changed("report");
    }
  }

  async preview(policy: Policy, examples: number): Promise<PreviewReport> {
    return await this.#options.host.preview(policy, examples, this.#options.signal);
  }

  // ---- what has to work under a policy ----

  #paths(): readonly PathAttempt[] {
    const { link, commitConfirm } = this.#options;
    const canaries = commitConfirm.canaries.map((canary) => this.#canary(canary));
    return link === null ? canaries : [this.#controllerPath(link), ...canaries];
  }

  #canary({ peer, port }: Canary): PathAttempt {
    const address = parseAddress(peer);
    return {
      name: `canary ${formatAddress(address)}:${port}/tcp`,
      refusalSuffices: true,
      open: (signal) => openTcp(peer, port, signal),
      denial: (policy) =>
        this.#options.host.denial(policy, { direction: "out", protocol: tcp, peer: address, port }),
    };
  }

  /**
   * The controller's port is an essential; what a policy can take away is the way to its name. The addresses of the last time
   * are remembered, so that the loss would be felt much later: a policy that denies DNS has to show that the name is
   * known without. One that does not is not held up by a resolver that is down.
   */
  #controllerPath(link: ControllerLink): PathAttempt {
    return {
      name: "the controller",
      refusalSuffices: false,
      open: async (signal, policy) => {
        const name = policy !== null && this.#nameDenial(link, policy) !== null ? controllerName(link) : null;
        try {
          if (name !== null) await resolveName(name, signal);
          await link.probe({ signal });
          return "answered";
        } catch (error) {
          if (isRefusal(error)) return "refused";
          throw error;
        }
      },
      denial: (policy) => this.#nameDenial(link, policy),
    };
  }

  #nameDenial(link: ControllerLink, policy: Policy): string | null {
    const { resolvers } = this.#essentials;
    if (controllerName(link) === null || resolvers === undefined) return null;
    const denials = [...resolvers.strings()].map((resolver) => {
      const peer = parseAddress(resolver.replace(/\/\d+$/, ""));
      return this.#options.host.denial(policy, { direction: "out", protocol: udp, peer, port: dnsPort });
    });
    const [first] = denials;
    return first != null && denials.every((denial) => denial !== null)
      ? `its name can't be resolved: DNS: ${first}`
      : null;
  }

  // ---- what operators want to know ----

  #tellEvents(link: ControllerLink): void {
    const { on, clock } = this.#options;
    const tell = (type: string, message: string): void => link.tell({ type, time: clock.date(), message });
    this.#listening.push(
      on("state", ({ state }) => {
        link.changed("report");
        if (state === "degraded")
          tell("degraded", "the policy is not in force, or not provably; see its problems");
      }),
      on("problem", () => link.changed("report")),
      on("policy", () => link.changed("report")),
      on("drift", ({ differences }) => {
        const [first] = differences;
        const more = differences.length > 1 ? ` and ${differences.length - 1} more` : "";
        tell("drift-repaired", first === undefined ? "repaired" : `${first.object}: ${first.detail}${more}`);
      }),
    );
  }
}

/** null: it is dialled by its address. */
function controllerName(link: ControllerLink): string | null {
  const host = link.status().controller?.replace(/:\d+$/, "") ?? "";
  return host === "" || isIP(host.replace(/^\[|\]$/g, "")) !== 0 ? null : host;
}

/** The next connection will need it, though this one could go to the addresses that are remembered. */
async function resolveName(name: string, signal: AbortSignal): Promise<void> {
  const { lookup } = await import("node:dns/promises");
  signal.throwIfAborted();
  const ended = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error(`${name} was not resolved in time`)), {
      once: true,
    });
  });
  await Promise.race([lookup(name), ended]);
}

function isRefusal(error: unknown): boolean {
  let at: unknown = error;
  for (let depth = 0; depth < 8 && at instanceof Error; depth++) {
    if ("code" in at && at.code === "ECONNREFUSED") return true;
    at = at.cause;
  }
  return false;
}
