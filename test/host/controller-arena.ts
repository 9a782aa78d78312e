import { createHash, generateKeyPairSync, type KeyObject, sign, X509Certificate } from "node:crypto";
import { Controller, type ControllerOptions } from "@antenna/controller/internal/fleet/controller.js";
import { applyDelta, type Clock, type Policy, policyDigest, systemClock, type Version } from "@antenna/sdk";
import { makeCertificateRequest } from "@antenna/sdk/internal/protocol/identity/certificate-request.js";
import {
  agentService,
  type HelloMessage,
  type IssuedIdentity,
  PairingKey,
  PolicyAssembler,
  PolicyKeyChain,
  proofProblem,
  type RenewRequestMessage,
  type RenewResponseMessage,
  renewalText,
  type SessionRequestMessage,
  type SessionResponseMessage,
  type StatusMessage,
} from "@antenna/sdk/protocol";
import { MemoryLogger } from "@antenna/sdk/testing";
import {
  Client,
  type ClientDuplexStream,
  credentials,
  type ServiceError,
  status as statusCode,
} from "@grpc/grpc-js";
import { MemoryStore, MemoryTrustFiles } from "../unit/controller-memory-store.js";

/** The machine's clock, with a wall clock that a test can set. */
export class ShiftedClock implements Clock {
  #shiftMs = 0;

  now(): number {
    return systemClock.now();
  }

  date(): Date {
    return new Date(Date.now() + this.#shiftMs);
  }

  after(delayMs: number, call: () => void): Disposable {
    return systemClock.after(delayMs, call);
  }

  /** Sets the wall clock on by so many milliseconds; timers are not moved. */
  shift(ms: number): void {
    this.#shiftMs += ms;
  }
}

export interface Arena extends AsyncDisposable {
  readonly controller: Controller;
  readonly store: MemoryStore;
  readonly files: MemoryTrustFiles;
  readonly clock: ShiftedClock;
  readonly logger: MemoryLogger;
  /** What the store refused. */
  readonly failures: unknown[];
  /** A key for any number of workloads. */
  key(labels?: Record<string, string>, addresses?: readonly string[]): Promise<PairingKey>;
  /** A paired agent. */
  agent(labels?: Record<string, string>, name?: string): Promise<TestAgent>;
  /** Types of the events so far, oldest first. */
  events(): Promise<
    readonly { readonly type: string; readonly workload: string | null; readonly message: string }[]
  >;
}

/** A controller on loopback, with everything real but its disk. */
export async function openArena(
  options: Partial<Pick<ControllerOptions, "timing" | "windowMs">> & {
    readonly store?: MemoryStore;
    readonly files?: MemoryTrustFiles;
    readonly clock?: ShiftedClock;
  } = {},
): Promise<Arena> {
  const { store = new MemoryStore(), files = new MemoryTrustFiles(), clock = new ShiftedClock() } = options;
  const logger = new MemoryLogger();
  const failures: unknown[] = [];
  const { timing, windowMs } = options;
  const controller = await Controller.start({
    store,
    files,
    clock,
    logger,
    listen: { host: "127.0.0.1", port: 0, names: ["localhost"] },
    hostAddresses: [],
    onFailure: (reason) => failures.push(reason),
    ...(timing === undefined ? {} : { timing }),
    ...(windowMs === undefined ? {} : { windowMs }),
  });
  const key = async (labels: Record<string, string> = {}, addresses: readonly string[] = []) => {
    const made = await controller.createKey({
      labels,
      uses: 10_000,
      ttlMs: 3_600_000,
      addresses,
      delegate: [],
    });
    return PairingKey.parse(made.pairingKey);
  };
  return {
    controller,
    store,
    files,
    clock,
    logger,
    failures,
    key,
    agent: async (labels = {}, name = "agent") => {
      const agent = new TestAgent(controller.port, name);
      await agent.pair(await key(labels));
      return agent;
    },
    events: async () => (await controller.events(10_000)).events.toReversed(),
    [Symbol.asyncDispose]: () => controller.close(),
  };
}

/** What a call of an agent was answered with. */
export class Refused extends Error {
  readonly code: statusCode;
  readonly details: string;

  constructor({ code, details }: Pick<ServiceError, "code" | "details">) {
    super(`${statusCode[code]}: ${details}`);
    this.code = code;
    this.details = details;
  }

  get kind(): string {
    return statusCode[this.code] ?? String(this.code);
  }
}

export const noStatus: StatusMessage = {
  state: "starting",
  mode: null,
  applied: null,
  problems: [],
  refused: null,
};

/** An agent that speaks the protocol and enforces nothing. */
export class TestAgent {
  readonly name: string;
  readonly privateKey: KeyObject;
  readonly #port: number;
  identity: IssuedIdentity | null = null;
  workload = "";
  token: Uint8Array = new Uint8Array(0);

  constructor(port: number, name: string, privateKey?: KeyObject) {
    this.#port = port;
    this.name = name;
    this.privateKey = privateKey ?? generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  }

  /** Another holder of the same identity: a copied state directory. */
  copy(): TestAgent {
    const copy = new TestAgent(this.#port, this.name, this.privateKey);
    copy.identity = this.identity;
    copy.workload = this.workload;
    copy.token = this.token;
    return copy;
  }

  get certificate(): Uint8Array {
    return this.identity?.certificateChain[0] ?? new Uint8Array(0);
  }

  request(key: KeyObject = this.privateKey): Promise<Uint8Array> {
    return makeCertificateRequest(key);
  }

  async pair(key: PairingKey): Promise<void> {
    const certificateRequest = await this.request();
    const client = this.client(false);
    const { pair } = agentService;
    const response = await new Promise<Awaited<ReturnType<typeof pair.responseDeserialize>>>(
      (resolve, reject) => {
        const message = { keyId: key.id, secret: key.secret, certificateRequest, hostname: this.name };
        client.makeUnaryRequest(
          pair.path,
          pair.requestSerialize,
          pair.responseDeserialize,
          message,
          (error, value) =>
            value === undefined ? reject(new Refused(error as ServiceError)) : resolve(value),
        );
      },
    ).finally(() => client.close());
    this.identity = response;
    this.workload = response.workload;
  }

  /** Renews, with whatever the test puts in place of the right thing. */
  async renew(
    wrong: {
      readonly certificate?: Uint8Array;
      readonly certificateRequest?: Uint8Array;
      readonly signature?: (nonce: Uint8Array) => Uint8Array;
    } = {},
  ): Promise<IssuedIdentity> {
    const { certificate = this.certificate } = wrong;
    const certificateRequest = wrong.certificateRequest ?? (await this.request());
    const client = this.client(false);
    const { renew } = agentService;
    const stream = client.makeBidiStreamRequest<RenewRequestMessage, RenewResponseMessage>(
      renew.path,
      renew.requestSerialize,
      renew.responseDeserialize,
    );
    return new Promise<IssuedIdentity>((resolve, reject) => {
      stream.on("error", (error: ServiceError) => reject(new Refused(error)));
      stream.on("end", () => reject(new Error("the renewal ended without an answer")));
      stream.on("data", (message: RenewResponseMessage) => {
        if (message.kind === "challenge") {
          const text = renewalText(message.nonce, createHash("sha256").update(certificate).digest());
          const signature = wrong.signature?.(message.nonce) ?? sign("sha256", text, this.privateKey);
          stream.write({ kind: "proof", signature: Uint8Array.from(signature) });
        } else if (message.kind === "renewed") resolve(message);
      });
      stream.write({ kind: "start", certificate, certificateRequest, token: this.token });
    }).finally(() => client.close());
  }

  /** A client of the controller; `certified`: shows the certificate. */
  client(certified = true): Client {
    const roots = (this.identity?.roots ?? []).map((der) => new X509Certificate(der).toString()).join("");
    const chain = certified ? Buffer.from(new X509Certificate(this.certificate).toString()) : null;
    const key = certified ? Buffer.from(this.privateKey.export({ type: "pkcs8", format: "pem" })) : null;
    // Whether the server is the right one is other tests' matter.
    const verify = { rejectUnauthorized: roots !== "" };
    return new Client(
      `127.0.0.1:${this.#port}`,
      credentials.createSsl(roots === "" ? null : Buffer.from(roots), key, chain, verify),
      { "grpc.ssl_target_name_override": "antenna-controller", "grpc.enable_http_proxy": 0 },
    );
  }

  connect(options: TestSessionOptions = {}): TestSession {
    return new TestSession(this, options);
  }

  /** Connected and welcomed. */
  async enter(options: TestSessionOptions = {}): Promise<TestSession> {
    const session = this.connect(options);
    await session.welcomed();
    return session;
  }
}

export interface TestSessionOptions {
  readonly hello?: Partial<HelloMessage> | null;
  /** False: pings are not answered. Default: true. */
  readonly answers?: boolean;
  /** False: no credit is given for parts. Default: true. */
  readonly grants?: boolean;
  /** False: policies are taken and not reported. Default: true. */
  readonly reports?: boolean;
}

/** One session of a TestAgent: takes policies as an agent does, and says it confirmed them. */
export class TestSession {
  readonly agent: TestAgent;
  readonly messages: SessionResponseMessage[] = [];
  readonly #client: Client;
  readonly #stream: ClientDuplexStream<SessionRequestMessage, SessionResponseMessage>;
  readonly #options: TestSessionOptions;
  readonly #assembler = new PolicyAssembler();
  readonly #wakers = new Set<() => void>();
  #chain: PolicyKeyChain;
  #contexts = 0;
  policy: Policy | null = null;
  version: Version | null = null;
  /** Versions as they came. */
  readonly versions: Version[] = [];
  deltas = 0;
  wholes = 0;
  over: Refused | "ended" | null = null;
  answers: boolean;

  constructor(agent: TestAgent, options: TestSessionOptions) {
    this.agent = agent;
    this.#options = options;
    this.answers = options.answers ?? true;
    this.#client = agent.client();
    const { session } = agentService;
    this.#stream = this.#client.makeBidiStreamRequest(
      session.path,
      session.requestSerialize,
      session.responseDeserialize,
    );
    this.#chain = PolicyKeyChain.pinned({
      current: (agent.identity?.policyKeys ?? []).map(({ publicKey }) => publicKey),
      retired: [],
    });
    this.#stream.on("data", (message: SessionResponseMessage) => {
      this.#take(message);
      this.#wake();
    });
    this.#stream.on("error", (error: ServiceError) => {
      this.over ??= new Refused(error);
      this.#wake();
    });
    this.#stream.on("end", () => {
      // The status of an error comes right after the end.
      setImmediate(() => {
        this.over ??= "ended";
        this.#wake();
      });
    });
    if (options.hello !== null) this.say({ ...this.#hello(), ...options.hello });
  }

  say(message: SessionRequestMessage): void {
    if (!this.#stream.writableEnded) this.#stream.write(message);
  }

  /** Half-closes. */
  finish(): void {
    this.#stream.end();
  }

  close(): void {
    this.#stream.cancel();
    this.#client.close();
  }

  tellAddresses(...addresses: readonly string[]): void {
    this.#contexts++;
    this.say({
      kind: "context",
      sequence: this.#contexts,
      full: this.#contexts === 1,
      facts: {
        hostname: this.agent.name,
        os: { name: "debian", version: "12", kernel: "6.1", arch: "x64" },
        virtualization: null,
        addresses: addresses.map((address) => ({
          address,
          prefix: 24,
          interface: "eth0",
          scope: "routable",
        })),
        services: [],
        cloud: null,
      },
    });
  }

  tellStatus(status: Partial<StatusMessage>): void {
    this.say({ kind: "status", status: { ...noStatus, ...this.#applied(), ...status } });
  }

  welcomed(): Promise<void> {
    return this.until(() => this.messages.some(({ kind }) => kind === "welcome"));
  }

  /** Resolves when `holds` does; rejects when the session is over before, or after 10 s. */
  async until(holds: () => boolean, what = "that"): Promise<void> {
    const deadline = Date.now() + 10_000;
    while (!holds()) {
      if (this.over !== null) throw this.over === "ended" ? new Error("the session ended") : this.over;
      if (Date.now() > deadline) throw new Error(`${this.agent.name} waited for ${what} in vain`);
      await this.#change(deadline - Date.now());
    }
  }

  /** Resolves with why the session ended. */
  async ended(): Promise<Refused | "ended"> {
    const deadline = Date.now() + 10_000;
    while (this.over === null) {
      if (Date.now() > deadline) throw new Error(`the session of ${this.agent.name} did not end`);
      await this.#change(deadline - Date.now());
    }
    return this.over;
  }

  members(set: string): readonly string[] {
    const found: string[] = [];
    this.policy?.sets.get(set)?.forEachBlock((address) => found.push([...address].join(".")));
    return found;
  }

  /** Every address in any set. */
  get peers(): readonly string[] {
    return [...new Set([...(this.policy?.sets.keys() ?? [])].flatMap((set) => this.members(set)))].sort();
  }

  #hello(): HelloMessage {
    return {
      kind: "hello",
      revision: 1,
      agentVersion: "test",
      capabilities: [],
      token: this.agent.token,
      status: noStatus,
      floor: null,
      credit: 4,
    };
  }

  #take(message: SessionResponseMessage): void {
    this.messages.push(message);
    if (message.kind === "welcome") {
      this.agent.token = message.token;
      this.#chain = this.#chain.follow(message.trust.policyKeys);
    } else if (message.kind === "trust") this.#chain = this.#chain.follow(message.trust.policyKeys);
    else if (message.kind === "ping" && this.answers) this.say({ kind: "pong", nonce: message.nonce });
    else if (message.kind === "policy") this.#takePart(message);
  }

  #takePart({ part }: Extract<SessionResponseMessage, { kind: "policy" }>): void {
    const done = this.#assembler.push(part);
    if (this.#options.grants ?? true) this.say({ kind: "credit", chunks: 1 });
    if (done === null) return;
    const { header, content } = done;
    const { version, digest } = header;
    const problem = proofProblem(
      { workload: this.agent.workload, version, digest },
      header.proof,
      this.#chain,
    );
    if (problem !== null) throw new Error(problem);
    if ("base" in content) {
      this.deltas++;
      if (this.policy === null || policyDigest(this.policy) !== content.base) {
        this.say({ kind: "snapshot-request", reason: "another base" });
        return;
      }
      this.policy = applyDelta(this.policy, content);
    } else {
      this.wholes++;
      this.policy = content;
    }
    if (policyDigest(this.policy) !== digest) throw new Error("the digest is not the policy's");
    this.version = version;
    this.versions.push(version);
    if (this.#options.reports ?? true) this.tellStatus({ state: "in-sync", mode: this.policy.mode });
  }

  #applied(): Pick<StatusMessage, "applied"> {
    const { policy, version } = this;
    return {
      applied: policy === null || version === null ? null : { version, digest: policyDigest(policy) },
    };
  }

  #wake(): void {
    for (const wake of [...this.#wakers]) wake();
  }

  async #change(withinMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => wake(), Math.max(0, withinMs));
      const wake = () => {
        clearTimeout(timer);
        this.#wakers.delete(wake);
        resolve();
      };
      this.#wakers.add(wake);
    });
  }
}
