import {
  AntennaError,
  type CallOptions,
  type ControllerLink,
  type LinkedAgent,
  type LinkStatus,
  type Policy,
  type PolicyDelta,
  type PolicyOffer,
  policyDigest,
  type Version,
} from "@antenna/sdk";

/** What the next probes find. `silent`: nothing comes back until whoever asked gives up. */
export type ProbeAnswer = "answers" | "refuses" | "silent";

/** A link whose controller is the test: it offers policies by hand and answers probes as it is told. */
export class FakeLink implements ControllerLink {
  workload: string | null = "w-00000000000000000000000000000001";
  state: LinkStatus = {
    state: "connected",
    controller: "192.0.2.1:8443",
    lastSync: null,
    problems: [],
  };
  /** Whether a probe gets an answer; asked at every probe. */
  onProbe: () => ProbeAnswer = () => "answers";
  isTrusted: (proof: Uint8Array | null) => boolean = (proof) => proof !== null;
  probes = 0;
  readonly told: string[] = [];
  readonly changes: ("context" | "report")[] = [];
  isClosed = false;
  readonly #listeners = new Set<(status: LinkStatus) => void>();
  #agent: LinkedAgent | null = null;

  /** The agent, once it has opened the link. */
  get agent(): LinkedAgent {
    if (this.#agent === null) throw new Error("the link is not open yet");
    return this.#agent;
  }

  get isOpen(): boolean {
    return this.#agent !== null;
  }

  status(): LinkStatus {
    return this.state;
  }

  open(agent: LinkedAgent): void {
    this.#agent = agent;
  }

  changed(what: "context" | "report"): void {
    this.changes.push(what);
  }

  tell({ type }: { readonly type: string }): void {
    this.told.push(type);
  }

  vouches(_version: Version, _digest: string, proof: Uint8Array | null): boolean {
    return this.isTrusted(proof);
  }

  async probe({ signal }: CallOptions = {}): Promise<void> {
    this.probes += 1;
    const answer = this.onProbe();
    if (answer === "answers") return;
    if (answer === "silent")
      await new Promise<void>((resolve) =>
        signal?.addEventListener("abort", () => resolve(), { once: true }),
      );
    const cause = Object.assign(new Error(answer), answer === "refuses" ? { code: "ECONNREFUSED" } : {});
    throw new AntennaError({ code: "unreachable", operation: "probe", message: "no answer", cause });
  }

  onStatus(listener: (status: LinkStatus) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  tellStatus(): void {
    for (const listener of [...this.#listeners]) listener(this.state);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }

  /** Offers a policy as version 1.`sequence`. */
  offer(policy: Policy, sequence: number, more: Partial<PolicyOffer> = {}): Promise<void> {
    const version = { epoch: 1, sequence };
    const offered = { ...policy, version };
    return this.agent.offer({
      policy: offered,
      version,
      digest: policyDigest(offered),
      proof: proofOf(sequence),
      probation: true,
      ...more,
    });
  }

  /** Offers what leads from the policy that the agent accepted last to `policy`. */
  offerDelta(delta: PolicyDelta, sequence: number, more: Pick<PolicyOffer, "digest">): Promise<void> {
    const version = { epoch: 1, sequence };
    return this.agent.offer({ policy: delta, version, proof: proofOf(sequence), probation: true, ...more });
  }
}

export function proofOf(sequence: number): Uint8Array {
  return Uint8Array.of(0x50, sequence);
}
