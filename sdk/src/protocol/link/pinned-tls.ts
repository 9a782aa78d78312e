import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { connect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { AntennaError } from "../../error.js";
import { controllerName, judgeServer, sentCertificates } from "../identity/certificate-chain.js";

/** Whom a connection may lead to, and what it shows of this host. */
export interface TlsPeer {
  /** For people: `controller.example:8443 (192.0.2.1)`. */
  readonly label: string;
  readonly roots: readonly X509Certificate[];
  /** See `ServerJudgement.notBefore`. */
  readonly notBefore: Date | null;
  /** The own certificate with those that lead to a root (PEM), and its key (PEM); null: none is shown. */
  readonly identity: { readonly chain: string; readonly key: Buffer } | null;
}

export interface PinnedSocket {
  readonly socket: TLSSocket;
  /** The dates of the server's certificate do not agree with this host's clock. */
  readonly skew: "early" | "late" | null;
  readonly sent: readonly X509Certificate[];
}

/** TLS 1.3: under 1.2 the certificate of this host would pass in the clear. */
export function peerContext(peer: TlsPeer): SecureContext {
  return createSecureContext({
    minVersion: "TLSv1.3",
    ca: peer.roots.map((root) => root.toString()),
    ...(peer.identity === null ? {} : { cert: peer.identity.chain, key: peer.identity.key }),
  });
}

/**
 * Shakes hands over a connection and judges who is there before anything is said. Not a byte of application data goes
 * out unless it resolves; else the socket is destroyed.
 *
 * @throws AntennaError `untrusted`, `unreachable`
 */
export function pinTls(socket: Socket, context: SecureContext, peer: TlsPeer): Promise<PinnedSocket> {
  const operation = `connect to ${peer.label}`;
  return new Promise((resolve, reject) => {
    const fail = (error: AntennaError): void => {
      tls.destroy();
      socket.destroy();
      reject(error);
    };
    // OpenSSL's verdict is heard below, and is not the last word: see judgeServer.
    const tls = connect({
      socket,
      secureContext: context,
      servername: controllerName,
      ALPNProtocols: ["h2"],
      rejectUnauthorized: false,
    });
    tls.once("secureConnect", () => {
      const sent = sentCertificates(tls);
      const verdict = judgeServer({
        error: verdictOf(tls),
        sent,
        roots: peer.roots,
        notBefore: peer.notBefore,
      });
      if (verdict.kind === "trusted") return resolve({ socket: tls, skew: verdict.skew, sent });
      const message = `whoever answers there is not the controller: ${verdict.reason}; nothing was said to it`;
      fail(new AntennaError({ code: "untrusted", operation, message }));
    });
    // Stays for the life of the socket: an error without a listener would end the process.
    tls.on("error", (cause) => fail(brokenOff(operation, cause)));
    tls.once("close", () => setImmediate(() => fail(brokenOff(operation, null))));
  });
}

/** null: authorised. Node's types say Error; what is there is the code. */
function verdictOf(tls: TLSSocket): string | null {
  if (tls.authorized) return null;
  const found: unknown = tls.authorizationError;
  return typeof found === "string" ? found : found instanceof Error ? found.message : "unknown";
}

function brokenOff(operation: string, cause: Error | null): AntennaError {
  return new AntennaError({
    code: "unreachable",
    operation,
    message: "the connection broke off during the TLS handshake; is it the controller's port?",
    ...(cause === null ? {} : { detail: cause.message, cause }),
  });
}
