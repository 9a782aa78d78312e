import type { Clock } from "@antenna/sdk";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { CallRefusal } from "../session/call-refusal.js";
import type { SessionListener, SessionStream } from "../session/session-stream.js";
import { statusOf } from "./status-code.js";

/** How long a peer that does not read may hold up the end of its stream. */
const endGraceMs = 1000;

export interface SessionCallOptions {
  readonly clock: Clock;
  /** Breaks the connection. */
  readonly drop: () => void;
}

/** A gRPC call as a SessionStream. */
export class SessionCall implements SessionStream {
  readonly address: string;
  readonly peer: string;
  readonly #call: ServerDuplexStream<Buffer, Buffer>;
  readonly #options: SessionCallOptions;
  #over = false;
  #closed = false;
  /** Of the message that is on its way; null: none is. */
  #sent: ((isSent: boolean) => void) | null = null;

  constructor(call: ServerDuplexStream<Buffer, Buffer>, options: SessionCallOptions) {
    this.#call = call;
    this.#options = options;
    this.peer = call.getPeer();
    this.address = addressOf(this.peer);
  }

  /** Begins to read. Called once. */
  listen(listener: SessionListener): void {
    const closed = () => {
      if (this.#closed) return;
      this.#closed = true;
      this.#over = true;
      this.#settle(false);
      listener.closed();
    };
    const call = this.#call;
    call.on("data", (bytes: Buffer) => {
      if (!this.#over) listener.message(bytes);
    });
    // A half-closed stream can't answer a ping: it is over.
    call.on("end", () => {
      this.end(null);
      closed();
    });
    call.on("cancelled", closed);
    call.on("close", closed);
    call.on("error", closed);
  }

  send(message: Uint8Array): Promise<boolean> {
    if (this.#over) return Promise.resolve(false);
    if (this.#sent !== null) throw new TypeError("one message at a time");
    return new Promise((resolve) => {
      this.#sent = resolve;
      const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
      this.#call.write(bytes, (error?: Error | null) => this.#settle(error === null || error === undefined));
    });
  }

  end(refusal: CallRefusal | null): void {
    if (this.#over) return;
    this.#over = true;
    const call = this.#call;
    const timer = this.#options.clock.after(endGraceMs, () => this.#options.drop());
    // Where nobody answers any more, a status that is written is not read: a host that moves often would reach the bound of
    // connections of one certificate before the keepalive finds the old ones dead.
    if (refusal?.kind !== "unavailable") {
      call.once("finish", () => timer[Symbol.dispose]());
      call.once("close", () => timer[Symbol.dispose]());
    }
    if (refusal === null) call.end();
    else endWith(call, refusal);
  }

  #settle(isSent: boolean): void {
    const sent = this.#sent;
    this.#sent = null;
    sent?.(isSent);
  }
}

/** Answers a stream with a status that is an error: grpc-js takes it as an `error` event. */
export function endWith(call: ServerDuplexStream<Buffer, Buffer>, refusal: CallRefusal): void {
  call.emit("error", Object.assign(new Error(refusal.message), statusOf(refusal)));
}

/** `10.0.0.1:4242` or `[fd00::1]:4242` without its port; IPv4 as IPv4, whatever the socket. */
export function addressOf(peer: string): string {
  const address = peer.slice(0, Math.max(0, peer.lastIndexOf(":"))).replace(/^\[|\]$/g, "");
  return address.replace(/^::ffff:(?=\d+\.)/, "");
}
