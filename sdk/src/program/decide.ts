import { matchesEssential } from "../evaluate/match-essential.js";
import { opening } from "../evaluate/opening.js";
import type { Decision, Packet, Stage } from "../evaluate/packet.js";
import { matchesService } from "../evaluate/service.js";
import type { AddressSet } from "../policy/address-set.js";
import { type Address, icmp, icmpv6 } from "../policy/model.js";
import type { Hit, Match, PairSet, ProgramSet, RuleProgram, SetKey, Tier } from "./program.js";

/** Looks a set up by its key; undefined: there is none. */
export type SetSource = Pick<ReadonlyMap<SetKey, ProgramSet>, "get">;

/**
 * What a program does with a packet: what `evaluate` says of its policy, but that the id of an allow rule is not known
 * (null). Costs what the kernel's rules cost, a few lookups, and allocates nothing but the decision.
 *
 * `sets`: the members to decide by, when they are not those of the program.
 */
export function decide(program: RuleProgram, packet: Packet, sets: SetSource = program.sets): Decision {
  if (packet.loopback) return allowed("loopback");
  if (packet.cut && program.drops) return denied(program, packet, "cut", null);
  const guards = program.directions[packet.direction].guards;
  if (guards.length > 0 && !packet.protected) {
    const opened = opening(packet);
    const of = packet.reply ? "reply" : "original";
    const guard = guards.find((each) => each.of === of && matches(each.match, opened, sets));
    if (guard !== undefined && !isEssential(program, opened, sets))
      return denied(program, packet, "secure", guard.rule);
  }
  if (packet.state === "established") return allowed("established");
  if (packet.state === "related" && (isIcmpError(packet) || isOwnRefusal(packet))) return allowed("related");
  if (isEssential(program, packet, sets)) return allowed("essential");
  for (const { stage, action, tier } of program.directions[packet.direction].stages) {
    const hit = walk(tier, packet, sets);
    if (hit === null) continue;
    return action === "allow" ? allowed(stage, hit.rule) : denied(program, packet, stage, hit.rule);
  }
  return allowed("default");
}

function walk(tier: Tier, packet: Packet, sets: SetSource): Hit | null {
  for (const { match, then } of tier.steps) {
    if (!matches(match, packet, sets)) continue;
    return then.kind === "hit" ? then : walk(then.tier, packet, sets);
  }
  return null;
}

function matches(match: Match, packet: Packet, sets: SetSource): boolean {
  if (match.service !== null && !matchesService(match.service, packet)) return false;
  return match.set === null || contains(sets.get(match.set), packet);
}

/** Membership of the packet's peer, or of peer and destination port. */
function contains(set: ProgramSet | undefined, packet: Packet): boolean {
  if (set === undefined) return false;
  if (set.kind === "peers") return set.members.has(peerOf(packet));
  return (
    packet.destinationPort !== null &&
    pairsAt(set, packet.protocol, packet.destinationPort)?.has(peerOf(packet)) === true
  );
}

function peerOf(packet: Packet): Address {
  return packet.direction === "in" ? packet.source : packet.destination;
}

/** Who is paired with a port; undefined: nobody. */
export function pairsAt(set: PairSet, protocol: number, port: number): AddressSet | undefined {
  let index = pairIndexes.get(set);
  if (index === undefined) {
    index = new Map(
      set.parts.flatMap((part) =>
        part.ports.map((each) => [pairKey(part.protocol, each), part.members] as const),
      ),
    );
    pairIndexes.set(set, index);
  }
  return index.get(pairKey(protocol, port));
}

const pairIndexes = new WeakMap<PairSet, ReadonlyMap<number, AddressSet>>();

function pairKey(protocol: number, port: number): number {
  return protocol * 0x1_0000 + port;
}

function isEssential(program: RuleProgram, packet: Packet, sets: SetSource): boolean {
  for (const essential of program.essentials) {
    const set = essential.set === undefined ? null : sets.get(essential.set);
    if (set === undefined) continue;
    const peers = set?.kind === "peers" ? set.members : essential.peers;
    if (matchesEssential(essential, packet, peers)) return true;
  }
  return false;
}

function isIcmpError(packet: Packet): boolean {
  const { family, protocol, icmpType } = packet;
  if (icmpType === null) return false;
  if (family === 4) return protocol === icmp && (icmpType === 3 || icmpType === 11 || icmpType === 12);
  return protocol === icmpv6 && icmpType >= 1 && icmpType <= 4;
}

function isOwnRefusal(packet: Packet): boolean {
  return packet.direction === "out" && packet.protocol === 6 && packet.reset;
}

function allowed(stage: Stage, rule: string | null = null): Decision {
  return { verdict: "allowed", stage, rule, refusal: null };
}

function denied(program: RuleProgram, packet: Packet, stage: Stage, rule: string | null): Decision {
  if (!program.drops) return { verdict: "potentially-blocked", stage, rule, refusal: null };
  const answers = program.reject && (stage === "override-deny" || stage === "deny" || stage === "default");
  const stateless = packet.state === "untracked" || packet.state === "invalid";
  return { verdict: "blocked", stage, rule, refusal: answers && !stateless ? "reject" : "drop" };
}
