import type {
  AddressSet,
  EnforcementReport,
  LinkedAgent,
  Policy,
  PolicyOffer,
  PreviewReport,
  WorkloadContext,
} from "@antenna/sdk";

/** An agent that writes down what its link asks of it. */
export class FakeAgent implements LinkedAgent {
  readonly reached: { readonly addresses: readonly string[]; readonly port: number }[] = [];
  readonly offers: PolicyOffer[] = [];
  readonly previews: Policy[] = [];
  current: Policy | null = null;
  facts: WorkloadContext | null = null;
  state: EnforcementReport = {
    state: "in-sync",
    mode: null,
    applied: null,
    floor: null,
    problems: [],
    refused: null,
  };
  /** What becomes of an offer; default: it is taken, if it is a whole policy. */
  onOffer: (offer: PolicyOffer) => Promise<void> = async ({ policy }) => {
    if (!("base" in policy)) this.current = policy;
  };
  onReach: () => Promise<void> = () => Promise.resolve();
  readonly #waiting: (() => void)[] = [];

  report(): EnforcementReport {
    return this.state;
  }

  context(): WorkloadContext | null {
    return this.facts;
  }

  policy(): Policy | null {
    return this.current;
  }

  reach(addresses: AddressSet, port: number): Promise<void> {
    this.reached.push({ addresses: [...addresses.strings()], port });
    return this.onReach();
  }

  offer(offer: PolicyOffer): Promise<void> {
    this.offers.push(offer);
    for (const waiting of this.#waiting.splice(0)) waiting();
    return this.onOffer(offer);
  }

  preview(policy: Policy): Promise<PreviewReport> {
    this.previews.push(policy);
    const cuts = { flows: 0, complete: true, examples: [] };
    const cost = { rules: 0, members: 0, memoryKiB: 0, applyMs: 0 } as PreviewReport["cost"];
    return Promise.resolve({
      from: null,
      to: "1.1",
      sets: {},
      rules: { added: [], removed: [], changed: [] },
      cuts,
      cost,
    });
  }

  /** Resolves once there are so many offers. */
  async offered(count: number): Promise<void> {
    while (this.offers.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

export const someContext: WorkloadContext = {
  hostname: "db-1",
  os: { name: "debian", version: "12", kernel: "6.1.0", arch: "x64" },
  virtualization: null,
  addresses: [{ address: "10.0.0.2", prefix: 24, interface: "eth0", scope: "routable" }],
  services: [],
  cloud: null,
};
