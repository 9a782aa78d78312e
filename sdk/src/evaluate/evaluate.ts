import { icmp, icmpv6, type Policy, type Rule, type RuleAction } from "../policy/model.js";
import type { Essential } from "./essential.js";
import { builtinEssentials } from "./essentials.js";
import { matchesEssential } from "./match-essential.js";
import { opening } from "./opening.js";
import type { Decision, Packet, Stage } from "./packet.js";
import { matchesService } from "./service.js";

export interface EvaluateOptions {
  /** What always passes; default: `builtinEssentials(policy)`, which knows no resolvers and no controller. */
  readonly essentials?: readonly Essential[];
  /** True while tracking settles on a live host: decides as the policy's mode and drops nothing. Default: false. */
  readonly settling?: boolean;
}

/**
 * What a policy means, for one packet (contract, "Meaning"): the first step that applies decides.
 *
 * This is the oracle that rendered rules, the kernel and `decide` are held against. It is written to be read, not to be
 * fast; whoever judges thousands of packets compiles the policy and asks `decide`.
 */
export function evaluate(policy: Policy, packet: Packet, options: EvaluateOptions = {}): Decision {
  const essentials = options.essentials ?? builtinEssentials(policy);
  const drops = policy.mode !== "visibility" && options.settling !== true;
  const denied = (stage: Stage, rule: string | null): Decision => ({
    verdict: drops ? "blocked" : "potentially-blocked",
    stage,
    rule,
    refusal: drops ? refusal(policy, packet, stage) : null,
  });

  if (policy.mode === "idle") return allowed("default");

  // 1. Loopback.
  if (packet.loopback) return allowed("loopback");

  // 2. A flow that was cut. Where nothing is dropped, it is judged like any other.
  if (packet.cut && drops) return denied("cut", null);

  // 3. Covered by a secure rule and not protected; in both directions, judged as the flow was opened.
  if (!packet.protected) {
    const opened = opening(packet);
    const guard = policy.rules.find((rule) => rule.secure && matchesRule(policy, rule, opened));
    const exempt = essentials.some((essential) => matchesEssential(essential, opened));
    if (guard !== undefined && !exempt) return denied("secure", guard.id);
  }

  // 4. Established. 5. Related errors, and our own refusals.
  if (packet.state === "established") return allowed("established");
  if (packet.state === "related" && (isIcmpError(packet) || isOwnRefusal(packet))) return allowed("related");

  // 6. Essentials.
  if (essentials.some((essential) => matchesEssential(essential, packet))) return allowed("essential");

  // 7. Rules by tier; within a tier the first one gives its name.
  const first = (action: RuleAction): Rule | undefined =>
    policy.rules.find((rule) => rule.action === action && matchesRule(policy, rule, packet));
  const overriding = first("override-deny");
  if (overriding !== undefined) return denied("override-deny", overriding.id);
  const allowing = first("allow");
  if (allowing !== undefined) return allowed("allow", allowing.id);
  const denying = first("deny");
  if (denying !== undefined) return denied("deny", denying.id);

  // 8. The default of the mode.
  if (policy.mode === "selective" && !isEnforced(policy, packet)) return allowed("default");
  return denied("default", null);
}

/** True when the rule's direction, peers and services all cover the packet. */
export function matchesRule(policy: Policy, rule: Rule, packet: Packet): boolean {
  if (rule.direction !== packet.direction) return false;
  const peer = packet.direction === "in" ? packet.source : packet.destination;
  const peerMatches = rule.peers.some((name) => name === "any" || policy.sets.get(name)?.has(peer) === true);
  return (
    peerMatches &&
    (rule.services === null || rule.services.some((service) => matchesService(service, packet)))
  );
}

/** Selective mode denies by default what comes in to a service under `enforce`. */
function isEnforced(policy: Policy, packet: Packet): boolean {
  return packet.direction === "in" && policy.enforce.some((service) => matchesService(service, packet));
}

/** ICMP: unreachable, time exceeded, parameter problem. ICMPv6: those and packet too big. */
function isIcmpError(packet: Packet): boolean {
  if (packet.icmpType === null) return false;
  if (packet.family === 4) return packet.protocol === icmp && [3, 11, 12].includes(packet.icmpType);
  return packet.protocol === icmpv6 && packet.icmpType >= 1 && packet.icmpType <= 4;
}

/** A TCP reset that refuses leaves as RELATED: the default would drop it. */
function isOwnRefusal(packet: Packet): boolean {
  return packet.direction === "out" && packet.protocol === 6 && packet.reset;
}

/** Only denials by rule or default of packets that could open a connection are answered. */
function refusal(policy: Policy, packet: Packet, stage: Stage): "drop" | "reject" {
  const answerable = stage === "override-deny" || stage === "deny" || stage === "default";
  const stateless = packet.state === "untracked" || packet.state === "invalid";
  return policy.reject && answerable && !stateless ? "reject" : "drop";
}

function allowed(stage: Stage, rule: string | null = null): Decision {
  return { verdict: "allowed", stage, rule, refusal: null };
}
