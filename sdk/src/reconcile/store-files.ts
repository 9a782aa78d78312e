import { type FileHandle, mkdir, open, readdir, readFile, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";

/** The part of a file system that the store needs, for one directory: real, or one that loses what was not synced. */
export interface StoreFiles {
  /** Makes the directory and what is above it if missing, mode 0700. */
  prepare(): Promise<void>;
  /** Names in the directory. */
  list(): Promise<readonly string[]>;
  /** The whole file. Rejects with code `EFBIG` when it is larger than `maxBytes`, `ENOENT` when there is none. */
  read(name: string, maxBytes: number): Promise<Uint8Array>;
  /** Opens for appending, mode 0600; `fresh`: it must not exist yet. */
  append(name: string, fresh: boolean): Promise<AppendFile>;
  rename(from: string, to: string): Promise<void>;
  remove(name: string): Promise<void>;
  /** Makes names in the directory durable. */
  syncNames(): Promise<void>;
}

export interface AppendFile {
  /** Writes all of it, or rejects. */
  write(chunks: readonly Uint8Array[]): Promise<void>;
  /** Makes the content durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A directory of the real file system. */
export class DirectoryFiles implements StoreFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async prepare(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
  }

  list(): Promise<readonly string[]> {
    return readdir(this.#directory);
  }

  async read(name: string, maxBytes: number): Promise<Uint8Array> {
    const path = join(this.#directory, name);
    const { size } = await stat(path);
    if (size > maxBytes)
      throw Object.assign(new Error(`${path} is larger than ${maxBytes} bytes`), { code: "EFBIG" });
    return readFile(path);
  }

  async append(name: string, fresh: boolean): Promise<AppendFile> {
    return new RealAppendFile(await open(join(this.#directory, name), fresh ? "ax" : "a", 0o600));
  }

  rename(from: string, to: string): Promise<void> {
    return rename(join(this.#directory, from), join(this.#directory, to));
  }

  remove(name: string): Promise<void> {
    return unlink(join(this.#directory, name));
  }

  async syncNames(): Promise<void> {
    const directory = await open(this.#directory, "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

/** IOV_MAX of Linux; more in one call is refused. */
const maxChunks = 1024;

class RealAppendFile implements AppendFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    for (let from = 0; from < chunks.length; from += maxChunks) {
      await this.#writeAll(chunks.slice(from, from + maxChunks));
    }
  }

  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #writeAll(chunks: readonly Uint8Array[]): Promise<void> {
    let rest = chunks.filter((chunk) => chunk.byteLength > 0);
    while (rest.length > 0) {
      let { bytesWritten } = await this.#handle.writev(rest);
      // A short write: a full disk tells itself by the next one.
      while (bytesWritten > 0) {
        const first = rest[0];
        if (first === undefined) break;
        if (bytesWritten < first.byteLength) {
          rest = [first.subarray(bytesWritten), ...rest.slice(1)];
          break;
        }
        bytesWritten -= first.byteLength;
        rest = rest.slice(1);
      }
    }
  }
}
