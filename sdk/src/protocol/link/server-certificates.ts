import type { X509Certificate } from "node:crypto";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import { AntennaError } from "../../error.js";
import type { Clock } from "../../ports.js";
import { controllerName, sentCertificates } from "../identity/certificate-chain.js";
import { aborted } from "./controller-address.js";

export interface ServerQuestion {
  readonly address: string;
  readonly port: number;
  /** For people. */
  readonly label: string;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/**
 * The certificates that a server shows, whoever it is: a TLS handshake and nothing else. No application data is sent, no
 * certificate of this host is shown, and the connection is closed.
 *
 * @throws AntennaError `unreachable`, `aborted`
 */
export function fetchCertificates(question: ServerQuestion): Promise<readonly X509Certificate[]> {
  const { address, port, label, clock, timeoutMs, signal } = question;
  const operation = `connect to ${label}`;
  return new Promise((resolve, reject) => {
    const tcp = connectTcp({ host: address, port });
    const tls = connectTls({
      socket: tcp,
      servername: controllerName,
      ALPNProtocols: ["h2"],
      minVersion: "TLSv1.3",
      rejectUnauthorized: false,
    });
    const end = (settle: () => void): void => {
      timer[Symbol.dispose]();
      signal?.removeEventListener("abort", stop);
      tls.destroy();
      tcp.destroy();
      settle();
    };
    const fail = (message: string, cause: Error | null): void =>
      end(() =>
        reject(
          new AntennaError({
            code: "unreachable",
            operation,
            message,
            ...(cause === null ? {} : { detail: cause.message, cause }),
          }),
        ),
      );
    const stop = (): void => end(() => reject(aborted(operation, signal as AbortSignal)));
    const timer = clock.after(timeoutMs, () =>
      fail(
        `no answer in ${timeoutMs / 1000} s; check the address, and that nothing on the way drops TCP to its port`,
        null,
      ),
    );
    let isConnected = false;
    tcp.once("connect", () => {
      isConnected = true;
    });
    const onError = (cause: Error): void =>
      fail(
        isConnected
          ? "it answers, but not as a controller does: the TLS handshake failed; is it the controller's port?"
          : "nobody answers there; check the address, and that the controller runs",
        cause,
      );
    tcp.on("error", onError);
    tls.on("error", onError);
    // The error that closed it, if there is one, is told by TCP a little later.
    tls.once("close", () => setImmediate(onError, new Error("the connection was closed")));
    tls.once("secureConnect", () => {
      const sent = sentCertificates(tls);
      end(() => resolve(sent));
    });
    if (signal?.aborted === true) return stop();
    signal?.addEventListener("abort", stop, { once: true });
  });
}
