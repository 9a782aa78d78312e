import { once } from "node:events";
import { chmod, unlink } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { AntennaError } from "../error.js";
import type { Logger } from "../ports.js";
import {
  encodeError,
  LineSplitter,
  largestBody,
  ProtocolError,
  parseBodyLine,
  parseRequest,
  pieceBytes,
  type WireRequest,
} from "./protocol.js";

/** One request on its way to its answer. */
export interface ControlCall {
  readonly method: string;
  /** From outside: the handler checks what it uses. */
  readonly params: Readonly<Record<string, unknown>>;
  /** The bytes that came with the request; empty if none did. To be read at most once. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Aborted when the client is gone or the server closes. */
  readonly signal: AbortSignal;
  /** Sends a part of a long answer; resolves when the client keeps up. */
  write(text: string): Promise<void>;
}

/** What it returns becomes the result; what it throws becomes the error. */
export type ControlHandler = (call: ControlCall) => Promise<unknown>;

export interface ControlServerOptions {
  readonly path: string;
  readonly handler: ControlHandler;
  readonly logger: Logger;
  /** Connections at the same time; more are refused with `busy`. Default 16. */
  readonly maxClients?: number;
  /** How long a client may say nothing, or take nothing, before it is dropped, in milliseconds. Default 30,000. */
  readonly patienceMs?: number;
}

/**
 * The control socket's server. The socket file is made with the process's umask, and then has mode 0600; the caller holds the lock of its
 * directory, so that a file that is there already is a leftover and is replaced.
 */
export class ControlServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  /** Those that were refused and have not gone yet. */
  readonly #leaving = new Set<Connection>();
  readonly #options: Required<ControlServerOptions>;

  private constructor(options: Required<ControlServerOptions>) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async listen(options: ControlServerOptions): Promise<ControlServer> {
    const server = new ControlServer({ maxClients: 16, patienceMs: 30_000, ...options });
    await unlink(options.path).catch((reason: unknown) => {
      if (!(reason instanceof Error && "code" in reason && reason.code === "ENOENT")) throw reason;
    });
    server.#server.listen(options.path);
    await once(server.#server, "listening");
    await chmod(options.path, 0o600);
    return server;
  }

  #accept(socket: Socket): void {
    const connection = new Connection(socket, this.#options);
    const crowded = this.#connections.size >= this.#options.maxClients;
    const place = crowded ? this.#leaving : this.#connections;
    place.add(connection);
    socket.once("close", () => place.delete(connection));
    if (crowded) connection.refuse();
    else void connection.serve();
  }

  /** Stops listening, lets answers that are nearly done out, then drops everybody. Idempotent. */
  async close(): Promise<void> {
    const closed = this.#server.listening ? once(this.#server, "close") : null;
    this.#server.close();
    for (const connection of [...this.#connections, ...this.#leaving]) connection.close();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** How long a client that is told to go may take to do so. */
const farewellMs = 200;

/** One client. Reads only as much as it is asked for, so that a client that sends fast fills its own buffers. */
class Connection {
  readonly #socket: Socket;
  readonly #options: Required<ControlServerOptions>;
  readonly #gone = new AbortController();
  readonly #lines: AsyncGenerator<string>;
  #busy = false;

  constructor(socket: Socket, options: Required<ControlServerOptions>) {
    this.#socket = socket;
    this.#options = options;
    this.#lines = readLines(socket);
    // Errors of a client's socket are the client's; `close` follows and ends everything here.
    socket.on("error", () => undefined);
    socket.once("close", () => this.#gone.abort());
    socket.setTimeout(options.patienceMs, () => {
      if (!this.#busy || socket.writableNeedDrain) socket.destroy();
    });
  }

  refuse(): void {
    const error = new AntennaError({
      code: "busy",
      operation: "connect to the control socket",
      message: `${this.#options.maxClients} clients are connected already; try again when one has left`,
    });
    this.#leave(error);
  }

  close(): void {
    this.#gone.abort();
    this.#leave(null);
  }

  /**
   * Says why, if there is a reason, and goes. What the client still sends is read and thrown away for a moment: a socket
   * closed over unread bytes resets the connection, and takes the reason with it.
   */
  #leave(error: AntennaError | null): void {
    if (error === null) this.#socket.end();
    else this.#socket.end(`${JSON.stringify({ error: encodeError(error) })}\n`);
    this.#socket.resume();
    const timer = setTimeout(() => this.#socket.destroy(), farewellMs);
    this.#socket.once("close", () => clearTimeout(timer));
  }

  async serve(): Promise<void> {
    try {
      for (;;) {
        const next = await this.#lines.next();
        if (next.done === true) break;
        this.#busy = true;
        await this.#answer(parseRequest(next.value));
        this.#busy = false;
      }
      this.#socket.end();
    } catch (reason) {
      if (reason instanceof ProtocolError) {
        this.#options.logger.debug({ reason: reason.message }, "a control client was dropped");
        const error = new AntennaError({
          code: "input-refused",
          operation: "read a control request",
          message: reason.message,
        });
        this.#leave(error);
      } else {
        this.#socket.destroy();
      }
    }
  }

  async #answer(request: WireRequest): Promise<void> {
    const body = new RequestBody(this.#lines, request.body);
    try {
      const result = await this.#options.handler({
        method: request.method,
        params: request.params,
        body,
        signal: this.#gone.signal,
        write: (text) => this.#writeText(text),
      });
      await body.drain();
      await this.#send({ result: result ?? null });
    } catch (reason) {
      if (reason instanceof ProtocolError) throw reason;
      if (!(reason instanceof AntennaError)) {
        this.#options.logger.error({ err: reason, method: request.method }, "a control request failed");
      }
      await body.drain();
      await this.#send({ error: encodeError(AntennaError.from(reason, request.method)) });
    }
  }

  async #writeText(text: string): Promise<void> {
    let start = 0;
    while (start < text.length) {
      let end = Math.min(start + pieceBytes, text.length);
      // A surrogate pair stays in one piece.
      if (end < text.length && (text.charCodeAt(end - 1) & 0xfc00) === 0xd800) end -= 1;
      await this.#send({ data: text.slice(start, end) });
      start = end;
    }
  }

  async #send(message: object): Promise<void> {
    const closed = new AntennaError({
      code: "closed",
      operation: "answer a control request",
      message: "the client has left",
    });
    if (this.#socket.destroyed) throw closed;
    if (this.#socket.write(`${JSON.stringify(message)}\n`)) return;
    try {
      await once(this.#socket, "drain", { signal: this.#gone.signal });
    } catch {
      throw closed;
    }
  }
}

async function* readLines(socket: Socket): AsyncGenerator<string> {
  const splitter = new LineSplitter();
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    if (!Buffer.isBuffer(chunk)) throw new ProtocolError("bytes expected");
    yield* splitter.push(chunk);
  }
}

/** The lines between a request and the next one. What the handler leaves unread is read away, to stay in step. */
class RequestBody implements AsyncIterable<Uint8Array> {
  readonly #lines: AsyncGenerator<string>;
  #ended: boolean;
  #total = 0;

  constructor(lines: AsyncGenerator<string>, present: boolean) {
    this.#lines = lines;
    this.#ended = !present;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const bytes = await this.#next();
      if (bytes === null) return;
      yield bytes;
    }
  }

  async drain(): Promise<void> {
    while ((await this.#next()) !== null);
  }

  async #next(): Promise<Uint8Array | null> {
    if (this.#ended) return null;
    const line = await this.#lines.next();
    if (line.done === true) throw new ProtocolError("the client left in the middle of a body");
    const bytes = parseBodyLine(line.value);
    this.#ended = bytes === null;
    this.#total += bytes?.length ?? 0;
    if (this.#total > largestBody) throw new ProtocolError(`a body of more than ${largestBody} bytes`);
    return bytes;
  }
}
