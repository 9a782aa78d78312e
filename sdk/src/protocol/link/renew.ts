import { createHash, sign } from "node:crypto";
import { AntennaError } from "../../error.js";
import type { Clock } from "../../ports.js";
import type { RenewResponseMessage } from "../codec/renew-message.js";
import type { IdentityStore } from "../identity/identity-store.js";
import type { Identity } from "../identity/stored-identity.js";
import { followTrust, issuedProblem } from "../identity/trust.js";
import { renewalText } from "../signature/signed-text.js";
import type { ByteStream, Channel } from "./channel.js";

export interface RenewedIdentity {
  readonly identity: Identity;
  /** What the controller told and this host did not take, for people; null: nothing. */
  readonly problem: string | null;
}

const answerTimeoutMs = 20_000;

/**
 * Exchanges the certificate, valid or expired, for a new one of the same key, and stores it. The proof is in the messages, so
 * that an expired certificate does as well.
 *
 * Rejects with the ServiceError of the call, or AntennaError: `untrusted` when what came is of no use, `unreachable`,
 * `corrupt`, `storage`.
 */
export async function renewIdentity(
  channel: Channel,
  store: IdentityStore,
  options: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<RenewedIdentity> {
  const operation = "renew the certificate";
  const { identity } = store;
  const [certificate] = identity?.certificateChain ?? [];
  if (identity === null || certificate === undefined)
    throw new AntennaError({ code: "internal", operation, message: "there is no identity to renew" });
  const { agentService } = await import("../codec/agent-service.js");
  const { path, requestSerialize, responseDeserialize } = agentService.renew;
  const privateKey = store.privateKey();
  const certificateRequest = await store.certificateRequest();
  const stream = channel.stream(path);
  const answers = new Answers(stream, (bytes) => responseDeserialize(Buffer.from(bytes)));
  const stop = (): void => stream.cancel();
  options.signal.addEventListener("abort", stop, { once: true });
  using _timer = options.clock.after(answerTimeoutMs, stop);
  try {
    const { token } = store.traces;
    stream.write(requestSerialize({ kind: "start", certificate, certificateRequest, token }));
    const challenge = await answers.next();
    if (challenge.kind !== "challenge") throw outOfTurn(operation);
    const hash = createHash("sha256").update(certificate).digest();
    const signature = sign("sha256", renewalText(challenge.nonce, hash), privateKey);
    stream.write(requestSerialize({ kind: "proof", signature }));
    stream.end();
    const renewed = await answers.next();
    if (renewed.kind !== "renewed") throw outOfTurn(operation);
    const problem = issuedProblem({ issued: renewed, privateKey, sent: channel.sent });
    if (problem !== null)
      throw new AntennaError({ code: "untrusted", operation, message: `what came is of no use: ${problem}` });
    const followed = followTrust(identity, renewed, channel.sent);
    const next = { ...followed.identity, certificateChain: renewed.certificateChain, revoked: false };
    await store.updateIdentity(next);
    return { identity: next, problem: followed.problem };
  } finally {
    options.signal.removeEventListener("abort", stop);
    stream.cancel();
  }
}

/** The answers of a stream, one at a time; more than were asked for are an error of the server's. */
class Answers {
  readonly #stream: ByteStream;
  readonly #read: (bytes: Uint8Array) => RenewResponseMessage;
  #failure: unknown = null;

  constructor(stream: ByteStream, read: (bytes: Uint8Array) => RenewResponseMessage) {
    this.#stream = stream;
    this.#read = read;
    // Before and between the answers too: an error without a listener would end the process.
    stream.on("error", (reason) => {
      this.#failure ??= reason;
    });
    stream.pause();
  }

  next(): Promise<RenewResponseMessage> {
    const stream = this.#stream;
    return new Promise((resolve, reject) => {
      const onData = (bytes: Uint8Array): void => {
        stream.pause();
        end();
        try {
          resolve(this.#read(bytes));
        } catch (reason) {
          reject(reason);
        }
      };
      const onError = (reason: unknown): void => {
        end();
        reject(reason);
      };
      const onEnd = (): void => {
        end();
        // The status follows the end; it says more.
        setImmediate(() => reject(this.#failure ?? endedEarly()));
      };
      const end = (): void => {
        stream.off("data", onData).off("error", onError).off("end", onEnd);
      };
      if (this.#failure !== null) return reject(this.#failure);
      stream.on("data", onData).on("error", onError).on("end", onEnd);
      stream.resume();
    });
  }
}

function outOfTurn(operation: string): AntennaError {
  return new AntennaError({
    code: "input-refused",
    operation,
    message: "the controller answered out of turn",
  });
}

function endedEarly(): AntennaError {
  return new AntennaError({
    code: "unreachable",
    operation: "renew the certificate",
    message: "the controller ended the call without an answer",
  });
}
