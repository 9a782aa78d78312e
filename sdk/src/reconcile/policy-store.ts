import { AntennaError } from "../error.js";
import {
  type MemberChanges,
  readFlags,
  readImage,
  readMembers,
  type StoredState,
  writeFlags,
  writeImage,
  writeMembers,
} from "./policy-image.js";
import { type FrameEnd, readFrames, writeFrame } from "./record-frame.js";
import type { AppendFile, StoreFiles } from "./store-files.js";

export type { MemberChanges, StoredState } from "./policy-image.js";

export interface OpenedStore {
  readonly store: PolicyStore;
  readonly state: StoredState;
  /** What was damaged, for people; empty when all that was promised is there. */
  readonly damage: readonly string[];
}

const magic = Buffer.from("ANTENNA\x01", "latin1");
const kinds = { image: 1, members: 2, flags: 3, base: 4 } as const;
/** 500,000 IPv6 members take 8.5 MB; nothing of ours is larger than this. */
const maxFileBytes = 64 * 1024 * 1024;
/** A journal is replaced by a snapshot when it outgrows this and the snapshot. */
const minJournalBytes = 256 * 1024;
const snapshotName = /^state-([1-9][0-9]{0,14})\.snapshot$/;
const journalName = /^state-([1-9][0-9]{0,14})\.journal$/;
const temporaryName = "state.tmp";

export const emptyState: StoredState = {
  policy: null,
  digest: null,
  floor: null,
  suspended: false,
  unsettled: false,
};

type Change = { readonly kind: "members"; readonly changes: MemberChanges } | { readonly kind: "flags" };

interface Batch {
  /** null: only a snapshot holds it. */
  changes: { readonly change: Change; readonly state: StoredState }[] | null;
  /** False: written is enough, a later batch makes it durable. */
  durable: boolean;
  readonly done: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: AntennaError) => void;
}

/**
 * The last known good policy, the version floor and two flags, on disk: a snapshot and a journal of what
 * changed since, both checksummed; of each the generation before is kept too.
 *
 * What `save` has promised survives a crash at any byte. A torn end of a journal is what a crash leaves and is passed
 * over in silence; anything else that does not hold is reported as damage, and the newest state that holds is taken,
 * of the generation before if need be. Never is a damaged directory taken for an empty one.
 *
 * Memory holds the newest state whatever the disk does: a failed `save` rejects with `storage`, and the next one
 * writes a whole snapshot.
 */
export class PolicyStore implements AsyncDisposable {
  readonly #files: StoreFiles;
  #state: StoredState;
  /** The highest in use. */
  #generation: number;
  /** The newest whose snapshot holds. */
  #goodGeneration: number;
  #journal: AppendFile | null = null;
  #journalBytes = 0;
  #journalFrames = 0;
  /** The journal's name may be lost with the machine. */
  #journalIsNew = false;
  #snapshotBytes = 0;
  #snapshotSum = 0;
  /** The end of the journal is not known to be good, or there is no snapshot it belongs to. */
  #snapshotNext: boolean;
  #batch: Batch | null = null;
  #writing: Promise<void> | null = null;
  #closed = false;

  private constructor(files: StoreFiles, loaded: Loaded) {
    this.#files = files;
    this.#state = loaded.state;
    this.#generation = loaded.generation;
    this.#goodGeneration = loaded.goodGeneration;
    this.#snapshotNext = true;
  }

  /** Reads what is stored; makes the directory if there is none. Rejects with `storage` when it cannot be read. */
  static async open(files: StoreFiles): Promise<OpenedStore> {
    try {
      await files.prepare().catch(ignoreUnwritable);
      const loaded = await load(files);
      return { store: new PolicyStore(files, loaded), state: loaded.state, damage: loaded.damage };
    } catch (error) {
      throw storageError("open the state directory", error);
    }
  }

  /** The newest state, stored or not. */
  get state(): StoredState {
    return this.#state;
  }

  /**
   * Makes `state` the newest and resolves when it is durable. With `members`, the policy differs from the newest only
   * in its version and by these: a short record is written instead of a snapshot. Saves that come while one is being
   * written go together.
   */
  save(state: StoredState, members: MemberChanges | null = null): Promise<void> {
    return this.#keep(state, members, true);
  }

  /**
   * Like `save`, but resolves when it is written: the death of the process loses nothing. That of the machine may, until a
   * later `save` made it durable too.
   */
  note(state: StoredState): Promise<void> {
    return this.#keep(state, null, false);
  }

  #keep(state: StoredState, members: MemberChanges | null, durable: boolean): Promise<void> {
    if (this.#closed) return Promise.reject(closedStore());
    const before = this.#state;
    this.#state = state;
    let change: Change | null = null;
    if (members !== null) change = { kind: "members", changes: members };
    else if (state.policy === before.policy && state.digest === before.digest) change = { kind: "flags" };
    this.#batch ??= newBatch();
    const batch = this.#batch;
    batch.durable ||= durable;
    if (change === null) batch.changes = null;
    else batch.changes?.push({ change, state });
    this.#write();
    return batch.done;
  }

  /** Deletes every file of the store. */
  async remove(): Promise<void> {
    await this.#finish();
    this.#closed = true;
    try {
      for (const name of await this.#files.list()) {
        if (isOurs(name)) await this.#files.remove(name);
      }
      await this.#files.syncNames();
    } catch (error) {
      throw storageError("remove the stored state", error);
    }
  }

  /** Waits for what is being written. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#finish();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #finish(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
    await this.#closeJournal();
  }

  #write(): void {
    this.#writing ??= this.#drain();
  }

  async #drain(): Promise<void> {
    while (this.#batch !== null) {
      const batch: Batch = this.#batch;
      this.#batch = null;
      try {
        const outgrown = this.#journalBytes > Math.max(minJournalBytes, this.#snapshotBytes);
        if (batch.changes === null || this.#snapshotNext || outgrown) await this.#writeSnapshot(this.#state);
        else await this.#append(batch.changes, batch.durable);
        batch.resolve();
      } catch (error) {
        this.#snapshotNext = true;
        batch.reject(storageError("store the policy", error));
      }
    }
    // In the same turn as the last look at the batch: a save that comes now starts anew.
    this.#writing = null;
  }

  async #writeSnapshot(state: StoredState): Promise<void> {
    const generation = this.#generation + 1;
    const frame = writeFrame(kinds.image, 0, writeImage(state));
    await this.#files.remove(temporaryName).catch(ignoreMissing);
    const file = await this.#files.append(temporaryName, true);
    try {
      await file.write([magic, ...frame]);
      await file.sync();
    } finally {
      await file.close();
    }
    await this.#files.rename(temporaryName, `state-${generation}.snapshot`);
    await this.#files.syncNames();
    await this.#closeJournal();
    this.#generation = generation;
    this.#snapshotBytes = magic.length + frame.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    this.#snapshotSum = payloadSum(frame);
    this.#journalBytes = 0;
    this.#journalFrames = 0;
    this.#snapshotNext = false;
    const before = this.#goodGeneration;
    this.#goodGeneration = generation;
    await this.#dropAllBut(generation, before);
  }

  async #append(changes: NonNullable<Batch["changes"]>, durable: boolean): Promise<void> {
    const chunks: Uint8Array[] = [];
    const fresh = this.#journal === null;
    this.#journal ??= await this.#files.append(`state-${this.#generation}.journal`, true);
    let frames = this.#journalFrames;
    if (fresh) {
      const base = Buffer.alloc(4);
      base.writeUInt32LE(this.#snapshotSum);
      chunks.push(magic, ...writeFrame(kinds.base, frames++, [base]));
    }
    for (const { change, state } of changes) {
      const payload = change.kind === "members" ? writeMembers(state, change.changes) : writeFlags(state);
      chunks.push(...writeFrame(kinds[change.kind], frames++, payload));
    }
    await this.#journal.write(chunks);
    this.#journalIsNew ||= fresh;
    if (durable) {
      await this.#journal.sync();
      if (this.#journalIsNew) await this.#files.syncNames();
      this.#journalIsNew = false;
    }
    this.#journalFrames = frames;
    this.#journalBytes += chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  }

  async #closeJournal(): Promise<void> {
    const journal = this.#journal;
    this.#journal = null;
    this.#journalIsNew = false;
    await journal?.close();
  }

  /** The generation before stays, in case the newest snapshot is damaged one day. */
  async #dropAllBut(newest: number, before: number): Promise<void> {
    for (const name of await this.#files.list()) {
      const generation = generationOf(name);
      if (generation !== null && generation !== newest && generation !== before)
        await this.#files.remove(name).catch(ignoreMissing);
    }
  }
}

interface Loaded {
  readonly state: StoredState;
  /** The highest generation of any name in the directory. */
  readonly generation: number;
  readonly goodGeneration: number;
  readonly damage: readonly string[];
}

async function load(files: StoreFiles): Promise<Loaded> {
  const names: readonly string[] = await files.list().catch((error: unknown) => {
    ignoreMissing(error);
    return [];
  });
  const generations = names
    .flatMap((name) => (snapshotName.test(name) ? (generationOf(name) ?? []) : []))
    .sort((a, b) => b - a);
  const generation = names.reduce((highest, name) => Math.max(highest, generationOf(name) ?? 0), 0);
  const damage: string[] = [];
  for (const candidate of generations) {
    const snapshot = await readSnapshot(files, `state-${candidate}.snapshot`);
    if (snapshot === null) {
      damage.push(`state-${candidate}.snapshot fails its checksum`);
      continue;
    }
    const journal = `state-${candidate}.journal`;
    const state = names.includes(journal)
      ? await replay(files, journal, snapshot.sum, snapshot.state, damage)
      : snapshot.state;
    return { state, generation, goodGeneration: candidate, damage };
  }
  if (generations.length === 0 && generation > 0)
    damage.push("the snapshot that a journal belongs to is gone");
  return { state: emptyState, generation, goodGeneration: 0, damage };
}

async function readSnapshot(
  files: StoreFiles,
  name: string,
): Promise<{ readonly state: StoredState; readonly sum: number } | null> {
  const bytes = await readOurs(files, name);
  if (bytes === null) return null;
  const { frames, end } = readFrames(bytes, magic.length);
  const [frame] = frames;
  if (frame === undefined || frame.kind !== kinds.image || frames.length !== 1 || end !== "clean")
    return null;
  const state = readImage(frame.payload);
  return state === null ? null : { state, sum: payloadSumOf(bytes) };
}

/** The state after every record that holds; what does not is told in `damage`. */
async function replay(
  files: StoreFiles,
  name: string,
  snapshotSum: number,
  snapshot: StoredState,
  damage: string[],
): Promise<StoredState> {
  const bytes = await readOurs(files, name);
  if (bytes === null) {
    // Shorter than its own head: a crash while it was being made.
    return snapshot;
  }
  const { frames, end } = readFrames(bytes, magic.length);
  const [base, ...records] = frames;
  if (base === undefined) {
    tellEnd(name, end, damage);
    return snapshot;
  }
  if (
    base.kind !== kinds.base ||
    base.payload.length !== 4 ||
    Buffer.from(base.payload).readUInt32LE() !== snapshotSum
  ) {
    damage.push(`${name} does not belong to its snapshot`);
    return snapshot;
  }
  let state = snapshot;
  for (const record of records) {
    const next =
      record.kind === kinds.members
        ? readMembers(state, record.payload)
        : record.kind === kinds.flags
          ? readFlags(state, record.payload)
          : null;
    if (next === null) {
      damage.push(`${name} holds a record that cannot be read`);
      return state;
    }
    state = next;
  }
  tellEnd(name, end, damage);
  return state;
}

function tellEnd(name: string, end: FrameEnd, damage: string[]): void {
  if (end === "corrupt") damage.push(`${name} is damaged before its end; what came after is lost`);
}

/** null: not a file of ours, cut short, or larger than any that we write. */
async function readOurs(files: StoreFiles, name: string): Promise<Uint8Array | null> {
  let bytes: Uint8Array;
  try {
    bytes = await files.read(name, maxFileBytes);
  } catch (error) {
    const code = errorCode(error);
    if (code === "EFBIG" || code === "EIO") return null;
    throw error;
  }
  return magic.equals(bytes.subarray(0, magic.length)) ? bytes : null;
}

/** The checksum of a frame's payload, as its head says. */
function payloadSum(frame: readonly Uint8Array[]): number {
  const head = frame[0] as Uint8Array;
  return Buffer.from(head.buffer, head.byteOffset, head.byteLength).readUInt32LE(8);
}

function payloadSumOf(snapshot: Uint8Array): number {
  return Buffer.from(snapshot.buffer, snapshot.byteOffset, snapshot.byteLength).readUInt32LE(
    magic.length + 8,
  );
}

function generationOf(name: string): number | null {
  const found = snapshotName.exec(name) ?? journalName.exec(name);
  return found === null ? null : Number(found[1]);
}

function isOurs(name: string): boolean {
  return name === temporaryName || generationOf(name) !== null;
}

function newBatch(): Batch {
  let resolve: () => void = () => {};
  let reject: (error: AntennaError) => void = () => {};
  const done = new Promise<void>((fulfil, fail) => {
    resolve = fulfil;
    reject = fail;
  });
  return { changes: [], durable: false, done, resolve, reject };
}

function errorCode(error: unknown): string | null {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
}

function ignoreMissing(error: unknown): void {
  if (errorCode(error) !== "ENOENT") throw error;
}

/** A directory that cannot be made is as good as an empty one, until something is to be stored. */
function ignoreUnwritable(error: unknown): void {
  const code = errorCode(error);
  if (code !== "EROFS" && code !== "ENOSPC" && code !== "EDQUOT") throw error;
}

/** What the file system said, and what to do about it. */
function storageError(operation: string, error: unknown): AntennaError {
  const code = errorCode(error);
  const advice =
    code === "ENOSPC" || code === "EDQUOT"
      ? "the disk is full: free some space"
      : code === "EROFS"
        ? "the file system is read-only"
        : code === "EACCES" || code === "EPERM"
          ? "access is denied: the state directory must belong to the agent's user"
          : "the state directory cannot be used";
  const message = error instanceof Error ? error.message : String(error);
  return new AntennaError({ code: "storage", operation, message: advice, detail: message, cause: error });
}

function closedStore(): AntennaError {
  return new AntennaError({ code: "closed", operation: "store the policy", message: "the store is closed" });
}
