import type { Essential } from "../evaluate/essential.js";
import type { AddressSet } from "../policy/address-set.js";
import type { Policy } from "../policy/model.js";
import { peerSet, unionOf } from "./fill-sets.js";
import type { PeerSet, ProgramEssential, SetKey } from "./program.js";
import { unionKey } from "./set-catalogue.js";

/** Up to so many peers an essential lists them in the rules. */
const mostListed = 8;

/**
 * Gives essentials with many peers a set. The peers of secure rules always get one, since they come and go with the members
 * of the policy's sets. Peers that also match before translation are listed: a set sees only the packet as it is.
 */
export function placeEssentials(
  essentials: readonly Essential[],
  policy: Policy,
): { readonly essentials: readonly ProgramEssential[]; readonly sets: ReadonlyMap<SetKey, PeerSet> } {
  const secureNames = [
    ...new Set(policy.rules.filter((rule) => rule.secure).flatMap((rule) => rule.peers)),
  ].sort();
  const securePeers =
    secureNames.length === 0 || secureNames.includes("any") ? null : unionOf(secureNames, policy);
  const sets = new Map<SetKey, PeerSet>();
  const keys = new Map<AddressSet, SetKey>();
  const keyOf = (name: string, peers: AddressSet): SetKey => {
    if (peers === securePeers) return unionKey(secureNames);
    const known = keys.get(peers);
    if (known !== undefined) return known;
    let key = `essential:${name}`;
    for (let number = 2; sets.has(key); number++) key = `essential:${name}:${number}`;
    keys.set(peers, key);
    return key;
  };
  const placed = essentials.map((essential): ProgramEssential => {
    const { peers, name } = essential;
    if (peers === null || essential.originalDestination) return essential;
    if (peers !== securePeers && peers.size <= mostListed) return essential;
    const set = keyOf(name, peers);
    sets.set(set, peerSet(peers));
    return { ...essential, set };
  });
  return { essentials: placed, sets };
}

/** All of an essential that is part of the rules. */
export function describeEssential(essential: ProgramEssential): unknown {
  const { peers, set } = essential;
  return { ...essential, peers: peers === null || set !== undefined ? null : [...peers.strings()] };
}
