import type { PairOptions, PairResult, UnpairOptions } from "./pair.js";

/**
 * Exchanges a pairing key for an identity, and stores it under `stateDir`. The key is sent to nobody but the controller whose
 * root certificate it names; whoever is killed on the way pairs again with the same key. Nothing secret is in any error. TLS
 * and gRPC are loaded by the first call.
 *
 * @throws AntennaError `input-refused` (address or key malformed), `busy` (paired already), `corrupt` (stored identity damaged),
 * `unreachable`, `untrusted` (wrong fingerprint: the key was not sent), `denied` (key unknown, expired, used up or revoked),
 * `storage`, `aborted`
 */
export async function pair(options: PairOptions): Promise<PairResult> {
  const module = await import("./pair.js");
  return await module.pair(options);
}

/** Forgets the identity on this host; the controller is not told. Gives the workload it was; null: there was none. */
export async function unpair(options: UnpairOptions): Promise<string | null> {
  const module = await import("./pair.js");
  return await module.unpair(options);
}
