import { createHash, type Hash } from "node:crypto";
import type { Policy, Rule, Service } from "./model.js";
import { compareNames } from "./normalise.js";
import { formatPorts } from "./ports.js";
import { setRoot } from "./set-digest.js";

/**
 * `sha256:` and the SHA-256, in hexadecimal, of the canonical JSON (RFC 8785) of the normalised policy:
 * `{ enforce, identities, mode, reject, rules, sets, visibility }`, every key present. A set is the hexadecimal form of its Merkle
 * root; a protocol is its number; a port is a number, a range is `"from-to"`; `services`, `ports`, `type` and `code` are
 * left out where they do not narrow. The version is no part of it. Vectors: `vectors/policy-digest.json`.
 *
 * `previous`: a policy whose digest was taken before; what it shares or nearly shares with this one is not digested again.
 */
export function policyDigest(policy: Policy, previous?: Policy): string {
  const known = digests.get(policy);
  if (known !== undefined) return known;
  // The keys are in canonical order by themselves: sets come late, so that all before them can be kept half digested.
  const state = digestRest(policy);
  let separator = '"sets":{';
  const names = Array.from(policy.sets.keys()).sort(compareNames);
  for (const name of names) {
    const set = policy.sets.get(name);
    if (set === undefined) continue;
    const root = Buffer.from(setRoot(set, previous?.sets.get(name))).toString("hex");
    state.update(`${separator}${JSON.stringify(name)}:"${root}"`);
    separator = ",";
  }
  state.update(`${names.length === 0 ? separator : ""}},"visibility":"${policy.visibility}"}`);
  const digest = `sha256:${state.digest("hex")}`;
  digests.set(policy, digest);
  return digest;
}

const digests = new WeakMap<Policy, string>();

/** The digest of all up to `rules`, not finished; by the rules, which are the large part of it. */
interface HalfDigest {
  readonly enforce: readonly Service[];
  readonly identities: ReadonlyMap<string, string>;
  readonly mode: string;
  readonly reject: boolean;
  readonly state: Hash;
}

const halves = new WeakMap<readonly Rule[], HalfDigest>();

function digestRest(policy: Policy): Hash {
  const { enforce, identities, mode, reject, rules } = policy;
  const known = halves.get(rules);
  if (
    known !== undefined &&
    known.enforce === enforce &&
    known.identities === identities &&
    known.mode === mode &&
    known.reject === reject
  ) {
    return known.state.copy();
  }
  const state = createHash("sha256");
  state.update(`{"enforce":[${enforce.map(canonicalService).join(",")}],"identities":{`);
  const addresses = Array.from(identities).sort(([a], [b]) => compareNames(a, b));
  state.update(
    addresses.map(([address, name]) => `${JSON.stringify(address)}:${JSON.stringify(name)}`).join(","),
  );
  state.update(`},"mode":"${mode}","reject":${reject},"rules":[`);
  let separator = "";
  for (const rule of rules) {
    state.update(separator + canonicalRule(rule));
    separator = ",";
  }
  state.update("],");
  halves.set(rules, { enforce, identities, mode, reject, state: state.copy() });
  return state;
}

/** JSON.stringify writes texts and whole numbers as RFC 8785, 3.2.2 asks; the keys stand in order. */
function canonicalRule(rule: Rule): string {
  const { action, direction, id, peers, secure, services } = rule;
  const head = `{"action":"${action}","direction":"${direction}","id":${JSON.stringify(id)},"peers":${JSON.stringify(peers)}`;
  return `${head},"secure":${secure}${services === null ? "" : `,"services":[${services.map(canonicalService).join(",")}]`}}`;
}

function canonicalService(service: Service): string {
  const { icmpCode: code, icmpType: type, ports, protocol } = service;
  return JSON.stringify({
    ...(code === null ? {} : { code }),
    ...(ports === null
      ? {}
      : { ports: ports.map((range) => (range.from === range.to ? range.from : formatPorts(range))) }),
    protocol,
    ...(type === null ? {} : { type }),
  });
}
