import type { AppendFile, StoreFiles } from "@antenna/sdk/internal/reconcile/store-files.js";
import type { Random } from "./random.js";

interface Inode {
  durable: Buffer;
  /** Written since the last sync, in order. */
  pending: Buffer;
}

type NameChange =
  | { readonly kind: "link"; readonly name: string; readonly inode: Inode }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "unlink"; readonly name: string };

class Crash extends Error {
  readonly code = "ECRASH";
}

/** A directory that promises no more than POSIX does: what was not synced may be lost, or half there. */
export class CrashingFiles implements StoreFiles {
  #names: Map<string, Inode>;
  #durableNames: Map<string, Inode>;
  #pendingNames: NameChange[] = [];
  /** Operations until the machine dies; each write may still put down a part of its bytes. */
  operationsLeft = Number.POSITIVE_INFINITY;
  /** Operations done. */
  operations = 0;
  /** Asked before every write; an error is thrown as the file system's. */
  refuse: (operation: string) => Error | null = () => null;
  #random: Random;

  constructor(random: Random, names: Map<string, Inode> = new Map()) {
    this.#random = random;
    this.#names = names;
    this.#durableNames = new Map(names);
  }

  /** What another start finds. */
  afterCrash(): CrashingFiles {
    const names = new Map(this.#durableNames);
    const survived = this.#random.between(0, this.#pendingNames.length);
    for (const change of this.#pendingNames.slice(0, survived)) applyChange(names, change);
    const contents = new Map<Inode, Inode>();
    for (const [name, inode] of names) {
      const left = contents.get(inode) ?? { durable: this.#leftOf(inode), pending: Buffer.alloc(0) };
      contents.set(inode, left);
      names.set(name, left);
    }
    return new CrashingFiles(this.#random, names);
  }

  /** Bytes of a file as they are now. */
  content(name: string): Buffer {
    const inode = this.#names.get(name);
    if (inode === undefined) throw missing(name);
    return Buffer.concat([inode.durable, inode.pending]);
  }

  /** A file rots. */
  overwrite(name: string, bytes: Buffer): void {
    const inode = { durable: bytes, pending: Buffer.alloc(0) };
    this.#names.set(name, inode);
    this.#durableNames.set(name, inode);
  }

  prepare(): Promise<void> {
    return this.#step("prepare", () => {});
  }

  list(): Promise<readonly string[]> {
    return Promise.resolve([...this.#names.keys()]);
  }

  async read(name: string): Promise<Uint8Array> {
    return this.content(name);
  }

  append(name: string, fresh: boolean): Promise<AppendFile> {
    return this.#step("append", () => {
      if (fresh && this.#names.has(name))
        throw Object.assign(new Error(`EEXIST: ${name}`), { code: "EEXIST" });
      const inode = this.#names.get(name) ?? { durable: Buffer.alloc(0), pending: Buffer.alloc(0) };
      this.#change({ kind: "link", name, inode });
      return {
        write: (chunks) => this.#write(inode, Buffer.concat(chunks)),
        sync: () =>
          this.#step("sync", () => {
            inode.durable = Buffer.concat([inode.durable, inode.pending]);
            inode.pending = Buffer.alloc(0);
          }),
        close: () => Promise.resolve(),
      };
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#step("rename", () => {
      if (!this.#names.has(from)) throw missing(from);
      this.#change({ kind: "rename", from, to });
    });
  }

  remove(name: string): Promise<void> {
    return this.#step("remove", () => {
      if (!this.#names.has(name)) throw missing(name);
      this.#change({ kind: "unlink", name });
    });
  }

  syncNames(): Promise<void> {
    return this.#step("syncNames", () => {
      this.#durableNames = new Map(this.#names);
      this.#pendingNames = [];
    });
  }

  async #write(inode: Inode, bytes: Buffer): Promise<void> {
    const dies = this.operationsLeft <= 0;
    const cut = dies ? this.#random.between(0, bytes.length) : bytes.length;
    const refusal = this.refuse("write");
    if (refusal !== null) {
      // A full disk takes a part.
      inode.pending = Buffer.concat([
        inode.pending,
        bytes.subarray(0, this.#random.between(0, bytes.length)),
      ]);
      throw refusal;
    }
    inode.pending = Buffer.concat([inode.pending, bytes.subarray(0, cut)]);
    await this.#step("written", () => {});
  }

  #change(change: NameChange): void {
    applyChange(this.#names, change);
    this.#pendingNames.push(change);
  }

  async #step<T>(operation: string, work: () => T): Promise<T> {
    if (this.operationsLeft <= 0) throw new Crash("the machine is dead");
    const refusal = operation === "written" ? null : this.refuse(operation);
    if (refusal !== null) throw refusal;
    this.operationsLeft -= 1;
    this.operations += 1;
    const result = work();
    await Promise.resolve();
    return result;
  }

  /** Synced bytes, and of the others a beginning; now and then the file had grown already and holds zeros. */
  #leftOf(inode: Inode): Buffer {
    const kept = this.#random.between(0, inode.pending.length);
    const zeros = this.#random.chance(0.2) ? inode.pending.length - kept : 0;
    return Buffer.concat([inode.durable, inode.pending.subarray(0, kept), Buffer.alloc(zeros)]);
  }
}

function applyChange(names: Map<string, Inode>, change: NameChange): void {
  switch (change.kind) {
    case "link":
      names.set(change.name, change.inode);
      return;
    case "rename": {
      const inode = names.get(change.from);
      names.delete(change.from);
      if (inode !== undefined) names.set(change.to, inode);
      return;
    }
    case "unlink":
      names.delete(change.name);
  }
}

function missing(name: string): Error {
  return Object.assign(new Error(`ENOENT: ${name}`), { code: "ENOENT" });
}
