import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { AntennaError } from "../error.js";
import {
  decodeError,
  LineSplitter,
  longestAnswer,
  ProtocolError,
  parseAnswer,
  pieceBytes,
} from "./protocol.js";
import { UnansweredError } from "./unanswered-error.js";

export interface AskOptions {
  /** The control socket. */
  readonly path: string;
  /** Who should answer, and how to start it, for people: `daemon`, "start one with `antenna run`". */
  readonly server: { readonly name: string; readonly start: string };
  readonly method: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly body?: AsyncIterable<Uint8Array>;
  /** Takes the text of a streamed answer; what it returns is awaited before more is read. */
  readonly onText?: (text: string) => void | Promise<void>;
  /** How long the daemon may stay silent, in milliseconds. Default 60,000. */
  readonly patienceMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * One request and its answer. Rejects with UnansweredError when nobody listens, with `not-permitted` when
 * the socket may not be opened, and with the server's own error.
 */
export async function ask(options: AskOptions): Promise<unknown> {
  const socket = await open(options);
  try {
    const sent = send(socket, options);
    // The answer decides; a daemon that refuses early does not read the body to its end. A body that can't be read to
    // its end leaves the daemon waiting for the rest: nobody would answer.
    sent.catch((reason: unknown) => {
      if (!isConnectionLoss(reason)) socket.destroy(reason instanceof Error ? reason : undefined);
    });
    return await receive(socket, options);
  } finally {
    socket.destroy();
  }
}

async function open(options: AskOptions): Promise<Socket> {
  const socket = connect({ path: options.path });
  const abort = (): void => void socket.destroy(new Error("aborted"));
  options.signal?.addEventListener("abort", abort, { once: true });
  socket.once("close", () => options.signal?.removeEventListener("abort", abort));
  // Whoever reads next hears of the error; between two reads nobody would, and node would end the process.
  socket.on("error", () => undefined);
  try {
    await once(socket, "connect");
  } catch (reason) {
    throw explainRefusal(reason, options);
  }
  return socket;
}

function explainRefusal(reason: unknown, { path, server }: AskOptions): Error {
  const code = reason instanceof Error && "code" in reason ? reason.code : undefined;
  const words = reason instanceof Error ? reason.message : String(reason);
  if (code === "EACCES" || code === "EPERM") {
    return new AntennaError({
      code: "not-permitted",
      operation: `connect to ${path}`,
      message: `the control socket belongs to the ${server.name}'s user; run this command as that user, or as root`,
      detail: words,
      cause: reason,
    });
  }
  if (code === "ENOENT" || code === "ECONNREFUSED" || code === "ENOTDIR") {
    return new UnansweredError(`no ${server.name} answers on ${path}; ${server.start}`);
  }
  return new UnansweredError(`no ${server.name} answers on ${path} (${words})`);
}

async function send(socket: Socket, options: AskOptions): Promise<void> {
  const request = { method: options.method, params: options.params ?? {}, body: options.body !== undefined };
  await write(socket, JSON.stringify(request));
  if (options.body === undefined) return;
  for await (const chunk of options.body) {
    for (let start = 0; start < chunk.length; start += pieceBytes) {
      const piece = Buffer.from(chunk.subarray(start, start + pieceBytes));
      await write(socket, JSON.stringify({ data: piece.toString("base64") }));
    }
  }
  await write(socket, JSON.stringify({ end: true }));
}

function write(socket: Socket, line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(`${line}\n`, (reason) => (reason ? reject(reason) : resolve()));
  });
}

async function receive(socket: Socket, options: AskOptions): Promise<unknown> {
  const splitter = new LineSplitter(longestAnswer);
  const patienceMs = options.patienceMs ?? 60_000;
  socket.setTimeout(patienceMs, () => {
    socket.destroy(
      new UnansweredError(
        `the ${options.server.name} on ${options.path} said nothing for ${patienceMs / 1_000} s`,
      ),
    );
  });
  try {
    for await (const chunk of socket) {
      if (!Buffer.isBuffer(chunk)) throw new ProtocolError("bytes expected");
      for (const line of splitter.push(chunk)) {
        const answer = parseAnswer(line);
        if (answer.kind === "result") return answer.result;
        if (answer.kind === "error") throw decodeError(answer.error);
        await options.onText?.(answer.data);
      }
    }
  } catch (reason) {
    if (reason instanceof AntennaError || reason instanceof UnansweredError) throw reason;
    if (isConnectionLoss(reason)) throw gone(options);
    throw reason;
  }
  throw gone(options);
}

function isConnectionLoss(reason: unknown): boolean {
  return (
    reason instanceof Error && "code" in reason && (reason.code === "ECONNRESET" || reason.code === "EPIPE")
  );
}

function gone({ path, server }: AskOptions): UnansweredError {
  return new UnansweredError(
    `the ${server.name} on ${path} closed the connection before it answered; see its log`,
  );
}
