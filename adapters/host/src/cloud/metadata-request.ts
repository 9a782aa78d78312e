import { request } from "node:http";

export interface MetadataRequest {
  readonly method?: "GET" | "PUT";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** Where every cloud's metadata service answers (link-local, never routed). */
export const metadataService = { host: "169.254.169.254", port: 80 } as const;
export interface MetadataAddress {
  readonly host: string;
  readonly port: number;
}

const timeoutMs = 1_000;
/** Instance documents are some kilobytes. */
const mostBytes = 256 * 1024;

/** The text of a good answer; null: no answer within a second, another status, or too long. Follows no redirect, uses no proxy. */
export function askMetadata(at: MetadataAddress, what: MetadataRequest): Promise<string | null> {
  const { method = "GET", path, headers = {}, signal } = what;
  return new Promise((resolve) => {
    const sent = request({ ...at, method, path, headers, agent: false, signal }, (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      if (response.statusCode !== 200) {
        end(null);
        return;
      }
      response.on("data", (part: Buffer) => {
        bytes += part.length;
        if (bytes > mostBytes) end(null);
        else parts.push(part);
      });
      response.on("end", () => end(Buffer.concat(parts).toString("utf8")));
      response.on("close", () => end(null));
    });
    const timer = setTimeout(() => end(null), timeoutMs);
    const end = (answer: string | null): void => {
      clearTimeout(timer);
      sent.destroy();
      resolve(answer);
    };
    sent.on("error", () => end(null));
    sent.end();
  });
}

/** The answer as a JSON object; null: it is none. */
export async function askMetadataJson(
  at: MetadataAddress,
  what: MetadataRequest,
): Promise<Readonly<Record<string, unknown>> | null> {
  const text = await askMetadata(at, what);
  if (text === null) return null;
  try {
    return asRecord(JSON.parse(text));
  } catch {
    return null;
  }
}

export function asRecord(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : null;
}

const longestText = 256;
const mostTags = 64;

/** A text of bounded length; anything else is empty. */
export function asText(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value).slice(0, longestText) : "";
}

/** Bounded in number and length, in the order of names. */
export function asTags(pairs: Iterable<readonly [string, unknown]>): Readonly<Record<string, string>> {
  const tags = [...pairs].filter(([name]) => name !== "" && name !== "__proto__").slice(0, mostTags);
  const sorted = tags.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([name, value]) => [name.slice(0, longestText), asText(value)]));
}
