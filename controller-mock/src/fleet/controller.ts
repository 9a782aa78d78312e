import { X509Certificate } from "node:crypto";
import { AntennaError, type Clock, type Logger } from "@antenna/sdk";
import { PairingKey } from "@antenna/sdk/protocol";
import type {
  AppliedDocument,
  AuthorityDocument,
  CreatedKeyDocument,
  EpochDocument,
  EventDocument,
  EventsDocument,
  FleetPreviewDocument,
  HistoryDocument,
  KeyDocument,
  KeysDocument,
  WorkloadDocument,
  WorkloadsDocument,
} from "../documents.js";
import { createPairingKey, type NewPairingKey, PairingKeys } from "../identity/pairing-keys.js";
import { parseLabelPolicy } from "../policy/parse.js";
import { previewLabelPolicy } from "../rollout/preview.js";
import { AgentServer } from "../server/agent-server.js";
import { AgentSession, type SessionTiming, sessionTiming } from "../session/agent-session.js";
import type {
  ControllerStore,
  RevisionNumber,
  StoreChange,
  TrustFiles,
  WorkloadRecord,
} from "../store-port.js";
import { keyDocument, workloadDocument } from "./documents.js";
import { Enrolment } from "./enrolment.js";
import { Fleet } from "./fleet.js";
import { Journal } from "./journal.js";
import { checkKeyOptions, editLabels, type LabelEdit } from "./label-edit.js";
import { previewWorkload } from "./policy-preview.js";
import { Revisions } from "./revisions.js";
import { TrustKeeper } from "./trust-keeper.js";

export interface ControllerOptions {
  /** Closed with the controller. */
  readonly store: ControllerStore;
  readonly files: TrustFiles;
  readonly listen: {
    readonly host: string;
    /** 0: one that is free, for which no workload gets a rule. */
    readonly port: number;
    /** DNS names (or addresses) that its certificate carries beside `antenna-controller`. */
    readonly names: readonly string[];
  };
  /** Addresses of its own host: whichever workload holds one gets the port inbound. */
  readonly hostAddresses: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a wave waits for a member that disconnected. Default: 17 s, an agent's window and its last try. */
  readonly windowMs?: number;
  /** Default: `sessionTiming`. */
  readonly timing?: Partial<SessionTiming>;
  /** A write failed: close it, and start anew. Agents go on enforcing. */
  readonly onFailure: (reason: unknown) => void;
}

/** The server's leaf lasts 30 days and is a day old at most; a clock that was set is noticed within a minute. */
const leafCheckMs = 60_000;
const leafAgeMs = 86_400_000;
const previewExamples = 20;
/** Previews that agents are asked for at the same time. */
const previewsAtOnce = 32;
const mostPairingKeys = 10_000;

/**
 * The controller without its command line: it serves agents at its port, and has one method for each command. Methods resolve
 * when what they did is durable, and reject with AntennaError, `input-refused` for bad text and `unsupported` for what is not there.
 */
export class Controller implements AsyncDisposable {
  readonly #options: ControllerOptions;
  readonly #trust: TrustKeeper;
  readonly #journal: Journal;
  readonly #keys: PairingKeys;
  readonly #revisions: Revisions;
  readonly #fleet: Fleet;
  #server: AgentServer | null = null;
  #leafTimer: Disposable | null = null;
  /** When the leaf was made, by the wall clock. */
  #leafTime = 0;
  /** Commands that change the label policy, the authority or the epoch come one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | null = null;

  private constructor(
    options: ControllerOptions,
    parts: {
      readonly trust: TrustKeeper;
      readonly journal: Journal;
      readonly keys: PairingKeys;
      readonly revisions: Revisions;
      readonly fleet: Fleet;
    },
  ) {
    this.#options = options;
    this.#trust = parts.trust;
    this.#journal = parts.journal;
    this.#keys = parts.keys;
    this.#revisions = parts.revisions;
    this.#fleet = parts.fleet;
  }

  /**
   * Reads what is stored and begins to serve. Rejects with AntennaError: `corrupt` and `storage` of the store and the files,
   * `busy` when somebody else listens at the port.
   */
  static async start(options: ControllerOptions): Promise<Controller> {
    const { store, files, clock, logger, listen, hostAddresses, onFailure } = options;
    const trust = await TrustKeeper.open({ files, clock });
    const stored = await store.load();
    const { workloads, revoked } = withoutRevoked(stored.workloads, trust);
    const journal = new Journal({ store, trust, clock, onFailure });
    const revisions = new Revisions(store, stored.revisions);
    const labelPolicies = await Revisions.policiesOf(store, stored);
    const timing = { ...sessionTiming, ...options.timing };
    const fleet = new Fleet({
      stored: { ...stored, workloads },
      labelPolicies,
      trust,
      journal,
      controller: listen.port === 0 ? null : { addresses: hostAddresses, port: listen.port },
      windowMs: options.windowMs ?? 17_000,
      answerMs: timing.answerMs,
      clock,
      logger,
      onRevisions: (changes) => revisions.change(changes),
    });
    const keys = new PairingKeys(stored.keys);
    const controller = new Controller(options, { trust, journal, keys, revisions, fleet });
    const enrolment = new Enrolment({ keys, trust, fleet, journal, clock });
    if (revoked.length > 0) {
      await journal.write(revoked.map((workload) => ({ kind: "workload", workload })));
    }
    await fleet.start();
    controller.#server = await AgentServer.listen({
      host: listen.host,
      port: listen.port,
      identity: trust.issueServer(listen.names),
      roots: controller.#rootsPem(),
      handler: {
        pair: (request, address) => enrolment.pair(request, address),
        openRenewal: (start, address) => enrolment.openRenewal(start, address),
        renew: (start, nonce, signature) => enrolment.renew(start, nonce, signature),
        authenticate: (certificate) => enrolment.authenticate(certificate),
        open: (stream, identity) => new AgentSession({ stream, identity, host: fleet, clock, timing }),
      },
      clock,
      logger,
    });
    controller.#leafTime = clock.date().getTime();
    controller.#keepLeaf();
    return controller;
  }

  /** The port in use. */
  get port(): number {
    return this.#server?.port ?? 0;
  }

  /** The key and its secret, told once. */
  async createKey(options: NewPairingKey): Promise<CreatedKeyDocument> {
    checkKeyOptions(options);
    const labels = editLabels({}, { set: options.labels, removed: [] });
    if (this.#keys.size >= mostPairingKeys) {
      throw refused("make a pairing key", `there are ${mostPairingKeys} keys; that is the most`);
    }
    const { record, secret } = createPairingKey({ ...options, labels }, this.#options.clock.date());
    const message = `key ${record.id} was made, for ${record.uses} workloads until ${record.expires}`;
    await this.#write([{ kind: "key", key: record }, this.#journal.event({ type: "key-created", message })]);
    this.#keys.put(record);
    const fingerprint = this.#trust.authority.fingerprint().toString("hex");
    const pairingKey = new PairingKey({ id: record.id, secret, fingerprint }).format();
    return { ...keyDocument(record), pairingKey };
  }

  keys(): KeysDocument {
    return { keys: this.#keys.list().map(keyDocument) };
  }

  /** Workloads that it paired stay. */
  async revokeKey(id: string): Promise<KeyDocument> {
    const record = this.#keys.get(id);
    if (record === null) {
      throw refused(`revoke key ${id}`, "there is no such key; `antenna-controller key list` lists them");
    }
    if (record.revoked) return keyDocument(record);
    const revoked = { ...record, revoked: true };
    this.#keys.put(revoked);
    const event = this.#journal.event({ type: "key-revoked", message: `key ${id} pairs nobody any more` });
    await this.#write([{ kind: "key", key: revoked }, event]);
    return keyDocument(revoked);
  }

  workloads(): WorkloadsDocument {
    return { workloads: this.#fleet.workloads.sorted().map(({ id }) => this.#document(id)) };
  }

  /** By id or name. */
  async labelWorkload(idOrName: string, edit: LabelEdit): Promise<WorkloadDocument> {
    const record = this.#fleet.workloads.find(idOrName);
    const labels = editLabels(record.labels, edit);
    const text = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    const message = `${record.name} has the labels ${text.join(" ") || "(none)"}`;
    await this.#fleet.relabel({ ...record, labels }, [
      this.#journal.event({ type: "label-changed", workload: record.id, message }),
    ]);
    return this.#document(record.id);
  }

  /** Resolves when the identity is worth nothing any more, and its addresses have left the sets of others. */
  async revokeWorkload(idOrName: string): Promise<WorkloadDocument> {
    const { id, name, state, pairing } = this.#fleet.workloads.find(idOrName);
    if (state === "revoked") return this.#document(id);
    await this.#trust.revoke(id, pairing);
    const message = `the identity of ${name} ended`;
    await this.#fleet.revoke(id, [this.#journal.event({ type: "revoked", workload: id, message })]);
    return this.#document(id);
  }

  /** Makes the text the next revision; resolves when it is stored. */
  applyPolicy(text: string): Promise<AppliedDocument> {
    return this.#inTurn(() => this.#apply(text, null));
  }

  /** Makes the content of a revision a new one. */
  rollback(revision: RevisionNumber): Promise<AppliedDocument> {
    return this.#inTurn(async () => this.#apply(await this.#revisions.text(revision), revision));
  }

  /** Resolves when the waves of a revision are over. */
  async waitForRevision(revision: RevisionNumber, signal?: AbortSignal): Promise<AppliedDocument> {
    return { revision, state: await this.#revisions.settled(revision, signal) };
  }

  /** What the text would change, for every workload whose policy it changes. */
  async previewPolicy(text: string): Promise<FleetPreviewDocument> {
    const policy = parseLabelPolicy(text, "preview a label policy");
    const changed = previewLabelPolicy(this.#fleet.rollout.policies, policy).filter(
      ({ from, to }) => from !== to,
    );
    const { epoch, sequence } = this.#fleet.rollout.version;
    const workloads: FleetPreviewDocument["workloads"][number][] = [];
    for (let at = 0; at < changed.length; at += previewsAtOnce) {
      const batch = changed.slice(at, at + previewsAtOnce).map(({ workload, from, to }) => {
        const record = this.#fleet.workloads.get(workload);
        return previewWorkload({
          workload,
          name: record?.name ?? workload,
          from,
          issued: record?.issued?.version ?? null,
          to,
          next: { epoch, sequence: sequence + 1 },
          session: this.#fleet.sessions.get(workload),
          examples: previewExamples,
        });
      });
      workloads.push(...(await Promise.all(batch)));
    }
    return { workloads };
  }

  /** The text of a revision as written; without a number, of the one in force. */
  async showPolicy(
    revision?: RevisionNumber,
  ): Promise<{ readonly revision: RevisionNumber; readonly text: string }> {
    const wanted = revision ?? this.#fleet.rollout.inForce;
    if (wanted === 0) throw refused("show the label policy", "no label policy was applied yet");
    return { revision: wanted, text: await this.#revisions.text(wanted) };
  }

  /** Newest first. */
  history(): HistoryDocument {
    return { revisions: this.#revisions.list() };
  }

  /** The operator's act after a restore from an older backup. */
  raiseEpoch(): Promise<EpochDocument> {
    return this.#inTurn(async () => {
      await this.#fleet.raiseEpoch();
      return { epoch: this.#trust.epoch };
    });
  }

  /** Newest first. */
  async events(limit: number): Promise<EventsDocument> {
    const { events, pruned } = await this.#journal.events({ limit });
    return {
      events: events.map(({ time, type, workload, address, message }) => ({
        time,
        type,
        workload,
        address,
        message,
      })),
      pruned,
    };
  }

  /** Calls at each event from now on, until disposed. */
  onEvent(listener: (event: EventDocument) => void): Disposable {
    return this.#journal.onEvent(listener);
  }

  /** Newest last. */
  authority(): AuthorityDocument {
    return {
      roots: this.#trust.describe().map(({ fingerprint, expires, retained }) => ({
        fingerprint,
        expires,
        current: retained === null,
      })),
    };
  }

  /** A new root and a new policy key, each vouched for by the old one; agents that are connected hear of it at once. */
  rotateAuthority(): Promise<AuthorityDocument> {
    return this.#inTurn(async () => {
      if (!(await this.#trust.rotate())) {
        throw refused(
          "rotate the authority",
          "too many roots are still needed by agents that may be away; wait until the oldest has gone (`ca show`)",
        );
      }
      this.#renewLeaf();
      const trust = this.#trust.trust();
      for (const session of this.#fleet.sessions.all()) session.tellTrust(trust);
      const root = this.#trust.authority.fingerprint().toString("hex");
      await this.#write([
        this.#journal.event({ type: "ca-rotated", message: `the new root has the fingerprint ${root}` }),
      ]);
      return this.authority();
    });
  }

  /** A consistent copy of the database. */
  backup(): Promise<AsyncIterable<Uint8Array>> {
    return this.#options.store.backup();
  }

  /** Ends every session, stores what is under way, closes the store. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#leafTimer?.[Symbol.dispose]();
    this.#fleet.close();
    await this.#server?.close();
    await this.#fleet.saveReports().catch(() => {});
    await this.#journal.settled();
    await this.#trust.close().catch((reason: unknown) => {
      this.#options.logger.error({ error: String(reason) }, "the version floor was not written back");
    });
    await this.#options.store[Symbol.asyncDispose]();
  }

  async #apply(text: string, of: RevisionNumber | null): Promise<AppliedDocument> {
    const policy = parseLabelPolicy(text, "apply a label policy");
    const revision = this.#revisions.next;
    const time = this.#options.clock.date().toISOString();
    const record = { revision, time, state: "in-waves", of } as const;
    this.#revisions.put(record);
    await this.#fleet.apply(revision, policy, [{ kind: "revision", revision: record, text }]);
    return { revision, state: this.#revisions.require(revision).state };
  }

  #document(id: string): WorkloadDocument {
    return workloadDocument(this.#fleet.workloads.find(id), {
      online: this.#fleet.sessions.get(id) !== null,
      ahead: this.#fleet.isAhead(id),
    });
  }

  #write(changes: readonly StoreChange[]): Promise<void> {
    return this.#journal.write(changes);
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  #rootsPem(): readonly string[] {
    return this.#trust.authority.roots().map((der) => new X509Certificate(der).toString());
  }

  #renewLeaf(): void {
    this.#leafTime = this.#options.clock.date().getTime();
    this.#server?.renew(this.#trust.issueServer(this.#options.listen.names), this.#rootsPem());
  }

  #keepLeaf(): void {
    this.#leafTimer = this.#options.clock.after(leafCheckMs, () => {
      const age = this.#options.clock.date().getTime() - this.#leafTime;
      if (age < 0 || age > leafAgeMs) this.#renewLeaf();
      this.#keepLeaf();
    });
  }
}

function refused(operation: string, message: string): AntennaError {
  return new AntennaError({ code: "unsupported", operation, message });
}

/** The list of revocations knows more than a database that is older, or that a kill kept from hearing of one. */
function withoutRevoked(
  records: readonly WorkloadRecord[],
  trust: TrustKeeper,
): { readonly workloads: readonly WorkloadRecord[]; readonly revoked: readonly WorkloadRecord[] } {
  const revoked: WorkloadRecord[] = [];
  const workloads = records.map((record) => {
    if (record.state === "revoked" || !trust.isRevoked(record.pairing)) return record;
    const ended: WorkloadRecord = { ...record, state: "revoked", claims: [], tokens: [], issued: null };
    revoked.push(ended);
    return ended;
  });
  return { workloads, revoked };
}
