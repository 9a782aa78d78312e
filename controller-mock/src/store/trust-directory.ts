import { createHash } from "node:crypto";
import { join } from "node:path";
import { AntennaError } from "@antenna/sdk";
import type {
  AuthorityFile,
  RevocationRecord,
  TrustFiles,
  TrustRecords,
  VersionFile,
} from "../store-port.js";
import { readIfThere, writeDurably } from "./durable-file.js";

/** In the data directory. */
export const trustFileNames = {
  authority: "authority.json",
  version: "version.json",
  revocations: "revocations.json",
} as const;

/** The trust files of a data directory: JSON with its own SHA-256, so that a torn or edited one is told from a good one. */
export class TrustDirectory implements TrustFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async read(): Promise<TrustRecords> {
    const [authority, version, revocations] = await Promise.all([
      this.#read<AuthorityFile>(trustFileNames.authority),
      this.#read<VersionFile>(trustFileNames.version),
      this.#read<readonly RevocationRecord[]>(trustFileNames.revocations),
    ]);
    if (authority === null && (version !== null || revocations !== null)) {
      throw corrupt(
        trustFileNames.authority,
        this.#directory,
        "it is gone, and the files beside it are there",
      );
    }
    return { authority, version, revocations: revocations ?? [] };
  }

  writeAuthority(authority: AuthorityFile): Promise<void> {
    return this.#write(trustFileNames.authority, authority);
  }

  writeVersion(version: VersionFile): Promise<void> {
    return this.#write(trustFileNames.version, version);
  }

  writeRevocations(revocations: readonly RevocationRecord[]): Promise<void> {
    return this.#write(trustFileNames.revocations, revocations);
  }

  async #write(name: string, content: unknown): Promise<void> {
    const text = JSON.stringify(content);
    try {
      await writeDurably(join(this.#directory, name), `{"sha256":"${sumOf(text)}","content":${text}}\n`);
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      throw new AntennaError({
        code: "storage",
        operation: `write ${name}`,
        message: `${detail}; the file before it stays`,
        detail,
        cause: error,
      });
    }
  }

  async #read<Content>(name: string): Promise<Content | null> {
    const text = await readIfThere(join(this.#directory, name));
    if (text === null) return null;
    const found = /^\{"sha256":"([0-9a-f]{64})","content":(.*)\}\n$/s.exec(text);
    const [, sum, content] = found ?? [];
    if (content === undefined || sum !== sumOf(content))
      throw corrupt(name, this.#directory, "it fails its checksum");
    // Its checksum holds: it is what was written here.
    return JSON.parse(content) as Content;
  }
}

function sumOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** A file that is not what was written. */
export function corrupt(name: string, directory: string, reason: string): AntennaError {
  return new AntennaError({
    code: "corrupt",
    operation: `read ${join(directory, name)}`,
    message: `${reason}; restore the data directory from the newest backup (antenna-controller backup F makes them). Agents go on enforcing what they have`,
  });
}
