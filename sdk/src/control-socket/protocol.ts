import { AntennaError, type ErrorCode, type Problem } from "../error.js";

/*
 * The control socket speaks lines of JSON, at most `longestLine` bytes each, one request after the other
 * (answers up to `longestAnswer`):
 *
 *   client: {"method":"explain","params":{…}}            the request
 *           {"data":"<base64>"} … {"end":true}           its body, if the request says "body":true
 *   server: {"data":"<text>"} …                          the answer's text, piece by piece, if it is a stream
 *           {"result":…}  or  {"error":{…}}              the end of the answer
 */

/** Bytes of one line of a request, its newline left out. */
export const longestLine = 256 * 1024;
/** Bytes of one line of an answer: a preview may list every flow of a full table. */
export const longestAnswer = 256 * 1024 * 1024;
/** Bytes of text or of body in one data line; escaped sixfold it still fits a line. */
export const pieceBytes = 32 * 1024;
/** Bytes of a whole request body: the largest policy document. */
export const largestBody = 32 * 1024 * 1024;

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface WireRequest {
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly body: boolean;
}

export interface WireError {
  readonly code: ErrorCode;
  readonly operation: string;
  readonly message: string;
  readonly detail: string | null;
  readonly problems: readonly Problem[];
}

export type WireAnswer =
  | { readonly kind: "data"; readonly data: string }
  | { readonly kind: "result"; readonly result: unknown }
  | { readonly kind: "error"; readonly error: WireError };

/** What the other side sent is no message of this protocol; nothing it says later can be trusted to be in step. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** Cuts a stream of bytes into lines and never holds more than one line. */
export class LineSplitter {
  readonly #longest: number;
  #pieces: Buffer[] = [];
  #length = 0;

  constructor(longest: number = longestLine) {
    this.#longest = longest;
  }

  /** The lines that `chunk` completes. Throws ProtocolError on a line that is too long. */
  *push(chunk: Buffer): Generator<string> {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
      this.#take(chunk.subarray(start, end));
      const line = Buffer.concat(this.#pieces, this.#length);
      this.#pieces = [];
      this.#length = 0;
      start = end + 1;
      yield line.toString("utf8");
    }
    this.#take(chunk.subarray(start));
  }

  #take(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#length += piece.length;
    if (this.#length > this.#longest) throw new ProtocolError(`a line of more than ${this.#longest} bytes`);
    this.#pieces.push(piece);
  }
}

export function parseRequest(line: string): WireRequest {
  const value = parseObject(line);
  const { method, params = {}, body = false } = value;
  if (typeof method !== "string" || !/^[a-z][a-z-]{0,39}$/.test(method)) throw new ProtocolError("no method");
  if (!isObject(params)) throw new ProtocolError("params are no object");
  if (typeof body !== "boolean") throw new ProtocolError("body is neither true nor false");
  return { method, params, body };
}

/** One line of a request's body: its bytes, or null for the end. */
export function parseBodyLine(line: string): Buffer | null {
  const { data, end } = parseObject(line);
  if (end === true) return null;
  if (typeof data !== "string") throw new ProtocolError("a body line without data");
  return Buffer.from(data, "base64");
}

export function parseAnswer(line: string): WireAnswer {
  const value = parseObject(line);
  if (typeof value.data === "string") return { kind: "data", data: value.data };
  if ("result" in value) return { kind: "result", result: value.result };
  const error = value.error;
  if (!isObject(error)) throw new ProtocolError("an answer without result");
  return { kind: "error", error: readError(error) };
}

export function encodeError(error: AntennaError): WireError {
  const prefix = `${error.operation}: `;
  return {
    code: error.code,
    operation: error.operation,
    message: error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message,
    detail: error.detail,
    problems: error.problems,
  };
}

export function decodeError(error: WireError): AntennaError {
  const { code, operation, message, detail, problems } = error;
  return new AntennaError({ code, operation, message, problems, ...(detail === null ? {} : { detail }) });
}

function parseObject(line: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new ProtocolError("a line that is not JSON");
  }
  if (!isObject(value)) throw new ProtocolError("a line that is no object");
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const errorCodes: ReadonlySet<string> = new Set<ErrorCode>([
  "input-refused",
  "version-refused",
  "over-budget",
  "not-permitted",
  "unsupported",
  "busy",
  "kernel-refused",
  "storage",
  "corrupt",
  "aborted",
  "closed",
  "internal",
]);

function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && errorCodes.has(value);
}

function readError(value: Record<string, unknown>): WireError {
  const problems = Array.isArray(value.problems) ? value.problems : [];
  return {
    code: isErrorCode(value.code) ? value.code : "internal",
    operation: String(value.operation),
    message: String(value.message),
    detail: typeof value.detail === "string" ? value.detail : null,
    problems: problems.filter(isObject).map((problem) => ({
      path: String(problem.path),
      problem: String(problem.problem),
    })),
  };
}
