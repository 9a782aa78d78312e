import type { X509Certificate } from "node:crypto";
import { hostname as hostnameOfSystem } from "node:os";
import { AntennaError } from "../../error.js";
import type { CallOptions, Clock } from "../../ports.js";
import { systemClock } from "../../reconcile/system-clock.js";
import {
  controllerName,
  fingerprintOf,
  isRoot,
  pathToRoot,
  readCertificate,
} from "../identity/certificate-chain.js";
import { IdentityStore, type OwnKey } from "../identity/identity-store.js";
import { PairingKey } from "../identity/pairing-key.js";
import type { Identity } from "../identity/stored-identity.js";
import { issuedProblem } from "../identity/trust.js";
import { callFailure, failureError } from "./call-failure.js";
import { Channel } from "./channel.js";
import {
  type ControllerAddress,
  labelOf,
  nameLookup,
  parseControllerAddress,
  resolveController,
} from "./controller-address.js";
import { fetchCertificates } from "./server-certificates.js";

export interface PairOptions extends CallOptions {
  /** `HOST:PORT` */
  readonly controller: string;
  /** The pairing key's one string, `id.secret.fingerprint`; white space around it is passed over. */
  readonly key: string;
  readonly stateDir: string;
  /** For people at the controller. Default: the system's. */
  readonly hostname?: string;
  /** Default: the system's. */
  readonly clock?: Clock;
}

export interface PairResult {
  readonly workload: string;
  /** `HOST:PORT` */
  readonly controller: string;
  /** When the certificate ends, ISO 8601; the daemon renews it long before. */
  readonly certificateExpires: string;
}

const connectTimeoutMs = 10_000;
const answerTimeoutMs = 20_000;

/**
 * Exchanges a pairing key for an identity, and stores it under `stateDir`.
 *
 * First a TLS connection that says nothing fetches the server's certificates; only if its root has the key's fingerprint and
 * vouches for a certificate of the name `antenna-controller`, a second one, which trusts that root alone, carries the key.
 * The host's own key is durable before that: whoever is killed on the way pairs again with the same key pair and gets
 * the same identity. After a revocation a new key pair is made. Nothing secret is in any error.
 *
 * @throws AntennaError `input-refused` (address or key malformed), `busy` (paired already), `corrupt` (stored identity damaged),
 * `unreachable`, `untrusted` (wrong fingerprint: the key was not sent), `denied` (key unknown, expired, used up or revoked),
 * `storage`, `aborted`
 */
export async function pair(options: PairOptions): Promise<PairResult> {
  const { signal, stateDir, clock = systemClock } = options;
  const controller = parseControllerAddress(options.controller);
  const key = PairingKey.parse(options.key);
  const store = IdentityStore.open(stateDir);
  const revoked = requireUnpaired(store);
  const ownKey = await store.ownKey({ fresh: revoked });
  const reach: Reach = { controller, key, clock, ...(signal === undefined ? {} : { signal }) };
  const server = await findServer(reach);
  await using channel = await openPinned(reach, server);
  const identity = await exchange(reach, channel, server, ownKey, options.hostname ?? hostnameOfSystem());
  await store.saveIdentity(identity);
  const addresses = [server.address];
  // The token stays: to a controller that knew this key pair it says that the host is the one it knew.
  await store.saveTraces({ token: store.traces.token, controller: controller.text, addresses });
  const own = readCertificate(identity.certificateChain[0] as Uint8Array);
  return {
    workload: identity.workload,
    controller: controller.text,
    certificateExpires: new Date(own.validTo).toISOString(),
  };
}

export interface UnpairOptions {
  readonly stateDir: string;
  /** False: the private key goes too, and pairing again makes another workload. Default true. */
  readonly keepKey?: boolean;
}

/** Forgets the identity on this host; the controller is not told. Gives the workload it was; null: there was none. */
export async function unpair({ stateDir, keepKey = true }: UnpairOptions): Promise<string | null> {
  const store = IdentityStore.open(stateDir);
  const workload = store.identity?.workload ?? null;
  const isUseful = !store.isKeyDamaged();
  if (workload !== null || store.damage !== null || !keepKey || !isUseful)
    await store.remove({ keepKey: keepKey && isUseful });
  return workload;
}

interface Reach {
  readonly controller: ControllerAddress;
  readonly key: PairingKey;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

interface FoundServer {
  readonly address: string;
  readonly root: X509Certificate;
}

/** True: there was an identity, and it was revoked. */
function requireUnpaired(store: IdentityStore): boolean {
  const operation = "pair this host";
  if (store.damage !== null)
    throw new AntennaError({
      code: "corrupt",
      operation,
      message: `the stored identity is damaged (${store.damage}); restore it, or run \`antenna unpair\` and pair again`,
    });
  const { identity } = store;
  if (identity === null) return false;
  if (identity.revoked) return true;
  const message = `it is paired already, as ${identity.workload} with ${identity.controller}; run \`antenna unpair\` first`;
  throw new AntennaError({ code: "busy", operation, message });
}

/** The first address where somebody shows the root that the key names; else the error that says most. */
async function findServer(reach: Reach): Promise<FoundServer> {
  const { controller, key, signal } = reach;
  const addresses = await resolveController(controller, nameLookup(), signal);
  let failure: AntennaError | null = null;
  for (const address of addresses) {
    try {
      return { address, root: rootOf(await ask(reach, address), key, labelOf(controller, address)) };
    } catch (reason) {
      const error = AntennaError.from(reason, `connect to ${controller.text}`);
      if (error.code === "aborted") throw error;
      if (failure === null || failure.code === "unreachable") failure = error;
    }
  }
  throw (
    failure ??
    new AntennaError({
      code: "unreachable",
      operation: `resolve ${controller.host}`,
      message: "the name has no address",
    })
  );
}

function ask({ controller, clock, signal }: Reach, address: string): Promise<readonly X509Certificate[]> {
  const label = labelOf(controller, address);
  return fetchCertificates({
    ...{ address, port: controller.port, label, clock, timeoutMs: connectTimeoutMs },
    ...(signal === undefined ? {} : { signal }),
  });
}

function rootOf(sent: readonly X509Certificate[], key: PairingKey, label: string): X509Certificate {
  const [leaf, ...others] = sent;
  const root = sent.find((each) => fingerprintOf(each) === key.fingerprint && isRoot(each));
  const isController = leaf?.checkHost(controllerName, { subject: "never" }) !== undefined;
  if (leaf !== undefined && root !== undefined && isController && pathToRoot(leaf, others, [root]) !== null)
    return root;
  const found = sent.at(-1);
  const reason =
    root !== undefined
      ? `it shows the right root, but its own certificate is not that of ${controllerName} under it`
      : `no root that it shows has the fingerprint in the pairing key (shown: ${found === undefined ? "none" : fingerprintOf(found)}, expected: ${key.fingerprint})`;
  throw new AntennaError({
    code: "untrusted",
    operation: `pair with ${label}`,
    message: `whoever answers there is not the controller that made the key: ${reason}; the key was not sent. Compare with \`antenna-controller ca show\``,
  });
}

function openPinned({ controller, clock, signal }: Reach, { address, root }: FoundServer): Promise<Channel> {
  const label = labelOf(controller, address);
  // A host that boots in 1970 may pair; what has run out by its clock, whatever that is, gets no key.
  const peer = { label, roots: [root], notBefore: clock.date(), identity: null };
  return Channel.open({
    ...{ address, port: controller.port, peer, clock, timeoutMs: connectTimeoutMs },
    ...(signal === undefined ? {} : { signal }),
  });
}

async function exchange(
  { controller, key, clock, signal }: Reach,
  channel: Channel,
  server: FoundServer,
  { privateKey, certificateRequest }: OwnKey,
  hostname: string,
): Promise<Identity> {
  const { agentService } = await import("../codec/agent-service.js");
  const operation = `pair with ${labelOf(controller, server.address)}`;
  const { path, requestSerialize, responseDeserialize } = agentService.pair;
  const request = requestSerialize({ keyId: key.id, secret: key.secret, certificateRequest, hostname });
  const late = new AbortController();
  using _timer = clock.after(answerTimeoutMs, () => late.abort());
  const stop = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
  let answer: Uint8Array;
  try {
    answer = await channel.request(path, request, stop);
  } catch (reason) {
    if (signal?.aborted === true) throw AntennaError.from(reason, operation);
    throw refusal(reason, key, operation, late.signal.aborted);
  }
  const issued = responseDeserialize(Buffer.from(answer));
  const problem = issuedProblem({ issued, privateKey, sent: channel.sent });
  if (problem !== null)
    throw new AntennaError({
      code: "untrusted",
      operation,
      message: `the identity it gave is of no use: ${problem}`,
    });
  const { workload, certificateChain, roots } = issued;
  const policyKeys = { current: issued.policyKeys.map((each) => each.publicKey), retired: [] };
  return { workload, controller: controller.text, revoked: false, certificateChain, roots, policyKeys };
}

/** NOT_FOUND, PERMISSION_DENIED, FAILED_PRECONDITION, UNAUTHENTICATED (google.rpc.Code): it is the key. */
const keyCodes: ReadonlySet<number | null> = new Set([5, 7, 9, 16]);
const tooOften = 8; // RESOURCE_EXHAUSTED

/** In the controller's words, unless they hold the secret: an error goes to terminals and logs. */
function refusal(reason: unknown, key: PairingKey, operation: string, isLate: boolean): AntennaError {
  const failure = callFailure(reason);
  const words = isLate ? `no answer in ${answerTimeoutMs / 1000} s` : failure.words;
  const detail = key.isIn(words) ? "its words are left out, they hold the key" : words;
  if (keyCodes.has(failure.code)) {
    const message = `the controller does not accept pairing key ${key.id}: unknown, expired, used up or revoked; ask its operator for a new one (\`antenna-controller key create\`)`;
    return new AntennaError({ code: "denied", operation, message, detail });
  }
  if (failure.code === tooOften) {
    const message = "the controller is asked too often; wait a minute and pair again";
    return new AntennaError({ code: "denied", operation, message, detail });
  }
  if (failure.kind !== "broken") return failureError({ ...failure, words: detail }, operation);
  const message =
    "the connection broke off before an answer came; pair again with the same key: it is not used twice";
  return new AntennaError({ code: "unreachable", operation, message, detail });
}
