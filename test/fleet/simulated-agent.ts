import { createHash, generateKeyPairSync, X509Certificate } from "node:crypto";
import {
  applyDelta,
  compareVersions,
  type OfferOutcome,
  type Policy,
  policyDigest,
  type SyncState,
  systemClock,
  type Version,
  type WorkloadContext,
} from "@antenna/sdk";
import { makeCertificateRequest } from "@antenna/sdk/internal/protocol/identity/certificate-request.js";
import { reconnectDelay, refusedDelay } from "@antenna/sdk/internal/protocol/link/reconnect-delay.js";
import { fetchCertificates } from "@antenna/sdk/internal/protocol/link/server-certificates.js";
import {
  type AssembledPolicy,
  agentService,
  contextParts,
  decodePairResponse,
  decodeSessionResponse,
  encodePairRequest,
  encodeSessionRequest,
  PairingKey,
  PolicyAssembler,
  type PolicyHeader,
  PolicyKeyChain,
  type PolicyPart,
  proofProblem,
  protocolRevision,
  type SessionRequestMessage,
  type SessionResponseMessage,
  type StatusMessage,
} from "@antenna/sdk/protocol";
import { AgentConnection, type CallEnd, type GrpcCall, type ShownIdentity } from "./agent-connection.js";

export interface SimulatedAgentOptions {
  /** The host's name. */
  readonly name: string;
  /** The controller's, on loopback. */
  readonly port: number;
  readonly addresses: readonly string[];
  /** A policy on probation: confirmed by a new connection, rolled back, or left undecided. Default: `confirm`. */
  readonly onProbation?: "confirm" | "roll-back" | "wait";
  /** It was welcomed and says now where it is. */
  readonly onContext?: () => void;
  /** A policy was taken in and is in force here. */
  readonly onPolicy?: (taken: TakenPolicy) => void;
  /** A protocol error of the controller: never expected. */
  readonly onFault?: (words: string) => void;
}

export interface TakenPolicy {
  readonly policy: Policy;
  readonly version: Version;
  readonly digest: string;
  readonly probation: boolean;
}

interface Pairing {
  readonly workload: string;
  readonly identity: ShownIdentity;
  /** PEM. */
  readonly roots: readonly string[];
}

/** Parts that the controller may have on the way, and how many are given back at a time, as the link does it. */
const creditWindow = 16;
const creditGroup = 4;
const pairTimeoutMs = 20_000;
/** What the controller said no to is asked again much later; the link's codes (google.rpc.Code). */
const refusals: ReadonlySet<number> = new Set([7, 10, 16]);

/**
 * An agent without a kernel: its own key, certificate, connection and session; everything it says an agent says, and policies
 * are checked as an agent checks them. It enforces nothing.
 */
export class SimulatedAgent {
  readonly #options: SimulatedAgentOptions;
  readonly #key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  #pairing: Pairing | null = null;
  #keys: PolicyKeyChain | null = null;
  #token: Uint8Array = new Uint8Array(0);
  #context: WorkloadContext;
  /** In force, on probation or not. */
  #current: TakenPolicy | null = null;
  /** In force and confirmed. */
  #applied: TakenPolicy | null = null;
  #floor: Version | null = null;
  #refused: OfferOutcome | null = null;
  #session: AgentSession | null = null;
  #isWanted = false;
  #failures = 0;
  #timer: NodeJS.Timeout | null = null;
  #welcomes = 0;

  constructor(options: SimulatedAgentOptions) {
    this.#options = options;
    this.#context = contextOf(options.name, options.addresses);
  }

  get name(): string {
    return this.#options.name;
  }

  /** Empty before it is paired. */
  get workload(): string {
    return this.#pairing?.workload ?? "";
  }

  /** A session is open and welcomed. */
  get isConnected(): boolean {
    return this.#session?.isWelcome === true;
  }

  /** Sessions that were opened. */
  get welcomes(): number {
    return this.#welcomes;
  }

  get current(): TakenPolicy | null {
    return this.#current;
  }

  get applied(): TakenPolicy | null {
    return this.#applied;
  }

  /** Pairs: the chain is compared with the key's fingerprint before anything is sent. */
  async pair(key: string): Promise<void> {
    const { port, name } = this.#options;
    const { id, secret, fingerprint } = PairingKey.parse(key);
    const sent = await fetchCertificates({
      ...{ address: "127.0.0.1", port, label: "the controller" },
      ...{ clock: systemClock, timeoutMs: pairTimeoutMs },
    });
    const root = sent.find(({ raw }) => createHash("sha256").update(raw).digest("hex") === fingerprint);
    if (root === undefined) throw new Error("the controller's root is not the key's");
    const certificateRequest = await makeCertificateRequest(this.#key);
    const connection = await AgentConnection.open({ port, roots: [root.toString()], identity: null });
    try {
      const request = encodePairRequest({ keyId: id, secret, certificateRequest, hostname: name });
      const answer = decodePairResponse(await connection.request(agentService.pair.path, request));
      this.#pairing = {
        workload: answer.workload,
        identity: {
          certificate: answer.certificateChain.map(pemOf).join(""),
          privateKey: this.#key.export({ type: "pkcs8", format: "pem" }).toString(),
        },
        roots: answer.roots.map(pemOf),
      };
      const current = answer.policyKeys.map(({ publicKey }) => publicKey);
      this.#keys = PolicyKeyChain.pinned({ current, retired: [] });
    } finally {
      connection.close();
    }
  }

  /** Connects, and again whenever the connection is lost, as the link does. */
  start(): void {
    this.#isWanted = true;
    void this.#connect();
  }

  /** Closes without a word. */
  stop(): void {
    this.#isWanted = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#session?.close();
    this.#session = null;
  }

  /** Has other addresses from now on. */
  move(addresses: readonly string[]): void {
    const before = this.#context;
    this.#context = contextOf(this.#options.name, addresses);
    const facts = contextParts(before, this.#context);
    if (facts !== null) this.#session?.tellContext(facts);
  }

  async #connect(): Promise<void> {
    this.#timer = null;
    const pairing = this.#pairing;
    if (pairing === null) throw new TypeError("it is not paired");
    const { port } = this.#options;
    let connection: AgentConnection;
    try {
      connection = await AgentConnection.open({ port, ...pairing });
    } catch {
      this.#again(reconnectDelay(++this.#failures, Math.random()));
      return;
    }
    if (!this.#isWanted) {
      connection.close();
      return;
    }
    const session = new AgentSession({
      connection,
      hello: {
        kind: "hello",
        revision: protocolRevision,
        agentVersion: "0.1.0",
        capabilities: ["commit-confirm"],
        token: this.#token,
        status: this.#status(),
        floor: this.#floor,
        credit: creditWindow,
      },
      onMessage: (message) => this.#hear(session, message),
      admit: (header) => this.#admit(header),
      onPolicy: (assembled) => this.#take(session, assembled),
      onRefused: (header, reason) => this.#refuse(session, header, reason),
      onEnd: (end) => this.#lose(session, end),
    });
    this.#session = session;
  }

  #again(delayMs: number): void {
    if (!this.#isWanted) return;
    this.#timer = setTimeout(() => void this.#connect(), delayMs);
  }

  #lose(session: AgentSession, { code, words }: CallEnd): void {
    if (this.#session !== session) return;
    session.close();
    this.#session = null;
    if (!this.#isWanted) return;
    this.#failures++;
    if (refusals.has(code)) this.#options.onFault?.(`${this.name}: ${code}: ${words}`);
    const delay = refusals.has(code)
      ? refusedDelay
      : (random: number) => reconnectDelay(this.#failures, random);
    this.#again(delay(Math.random()));
  }

  #hear(session: AgentSession, message: SessionResponseMessage): void {
    switch (message.kind) {
      case "welcome": {
        this.#failures = 0;
        this.#welcomes++;
        this.#token = message.token;
        this.#keys = this.#keys?.follow(message.trust.policyKeys) ?? null;
        const facts = contextParts(null, this.#context);
        this.#options.onContext?.();
        if (facts !== null) session.tellContext(facts);
        return;
      }
      case "trust":
        this.#keys = this.#keys?.follow(message.trust.policyKeys) ?? null;
        return;
      case "ping":
        session.say({ kind: "pong", nonce: message.nonce });
        return;
      case "preview":
        session.say({
          kind: "preview",
          id: message.id,
          document: null,
          problem: "a simulated agent has none",
        });
        return;
      case "policy":
        session.takePart(message.part);
        return;
      case "unknown":
        return;
    }
  }

  #admit(header: PolicyHeader): void {
    const keys = this.#keys;
    if (keys === null) throw new Error("it is not paired");
    const problem = proofProblem({ workload: this.workload, ...header }, header.proof, keys);
    if (problem !== null) throw new Error(problem);
    if (this.#floor !== null && compareVersions(header.version, this.#floor) < 0)
      throw new Error("the version is lower than one that was accepted");
  }

  #take(session: AgentSession, { header, content }: AssembledPolicy): void {
    const { version, digest, probation } = header;
    const before = this.#current;
    let policy: Policy;
    if ("base" in content) {
      if (before === null || before.digest !== content.base) {
        session.say({ kind: "snapshot-request", reason: `the delta is to ${content.base}` });
        return;
      }
      policy = applyDelta(before.policy, content);
    } else policy = content;
    if (policyDigest(policy) !== digest) throw new Error("the digest is not the policy's");
    const taken: TakenPolicy = { policy, version, digest, probation };
    this.#current = taken;
    this.#floor = version;
    this.#options.onPolicy?.(taken);
    // A real one tells that it is at it, then that it is done.
    session.say({ kind: "status", status: this.#status() });
    if (probation && before?.digest !== digest) void this.#prove(taken);
    else this.#confirm(taken);
  }

  #confirm(taken: TakenPolicy): void {
    this.#applied = taken;
    this.#session?.say({ kind: "status", status: this.#status() });
  }

  /** The first new connection to the controller confirms. */
  async #prove(taken: TakenPolicy): Promise<void> {
    const { port, onProbation = "confirm" } = this.#options;
    if (onProbation === "wait" || this.#pairing === null) return;
    if (onProbation === "roll-back") {
      this.#current = this.#applied;
      this.#refused = { version: taken.version, result: "rolled-back", reason: "the controller is denied" };
      this.#session?.say({ kind: "status", status: this.#status() });
      return;
    }
    while (this.#current === taken && this.#isWanted) {
      try {
        (await AgentConnection.open({ port, ...this.#pairing })).close();
        break;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    if (this.#current === taken) this.#confirm(taken);
  }

  #refuse(session: AgentSession, { version }: PolicyHeader, reason: unknown): void {
    const words = reason instanceof Error ? reason.message : String(reason);
    this.#options.onFault?.(`${this.name} refused ${version.epoch}.${version.sequence}: ${words}`);
    this.#refused = { version, result: "refused", reason: words };
    session.say({ kind: "status", status: this.#status() });
  }

  #status(): StatusMessage {
    const [current, applied] = [this.#current, this.#applied];
    const told = applied === null ? null : { version: applied.version, digest: applied.digest };
    const state: SyncState = current === null ? "starting" : current === applied ? "in-sync" : "applying";
    return {
      ...{ state, mode: current?.policy.mode ?? null, applied: told },
      ...{ problems: [], refused: this.#refused },
    };
  }
}

interface AgentSessionOptions {
  readonly connection: AgentConnection;
  readonly hello: SessionRequestMessage;
  readonly onMessage: (message: SessionResponseMessage) => void;
  readonly admit: (header: PolicyHeader) => void;
  readonly onPolicy: (assembled: AssembledPolicy) => void;
  readonly onRefused: (header: PolicyHeader, reason: unknown) => void;
  readonly onEnd: (end: CallEnd) => void;
}

/** One session of an agent. */
class AgentSession {
  readonly #options: AgentSessionOptions;
  readonly #call: GrpcCall;
  readonly #assembler: PolicyAssembler;
  #header: PolicyHeader | null = null;
  #contexts = 0;
  #owed = 0;
  isWelcome = false;

  constructor(options: AgentSessionOptions) {
    this.#options = options;
    this.#assembler = new PolicyAssembler({ admit: options.admit });
    this.#call = options.connection.call(agentService.session.path, {
      onMessage: (bytes) => {
        const message = decodeSessionResponse(bytes);
        if (message.kind === "welcome") this.isWelcome = true;
        options.onMessage(message);
      },
      onEnd: options.onEnd,
    });
    this.say(options.hello);
  }

  say(message: SessionRequestMessage): void {
    this.#call.send(encodeSessionRequest(message));
  }

  tellContext(facts: NonNullable<ReturnType<typeof contextParts>>): void {
    if (!this.isWelcome) return;
    this.#contexts++;
    this.say({ kind: "context", sequence: this.#contexts, full: this.#contexts === 1, facts });
  }

  takePart(part: PolicyPart): void {
    this.#owed++;
    if (part.header !== null) this.#header = part.header;
    try {
      const assembled = this.#assembler.push(part);
      if (assembled !== null) this.#options.onPolicy(assembled);
    } catch (reason) {
      if (this.#header !== null) this.#options.onRefused(this.#header, reason);
    }
    if (this.#owed < creditGroup && this.#assembler.isTaking) return;
    this.say({ kind: "credit", chunks: this.#owed });
    this.#owed = 0;
  }

  close(): void {
    this.#options.connection.close();
  }
}

function contextOf(hostname: string, addresses: readonly string[]): WorkloadContext {
  return {
    hostname,
    os: { name: "debian", version: "12", kernel: "6.1.0-18-amd64", arch: "x64" },
    virtualization: "kvm",
    addresses: addresses.map((address) => ({ address, prefix: 16, interface: "eth0", scope: "routable" })),
    services: [{ protocol: "tcp", address: "0.0.0.0", port: 22, process: "sshd", user: "root" }],
    cloud: null,
  };
}

function pemOf(der: Uint8Array): string {
  return new X509Certificate(der).toString();
}
