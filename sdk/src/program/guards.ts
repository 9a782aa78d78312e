import { requestType } from "../evaluate/opening.js";
import type { Direction, Rule, Service } from "../policy/model.js";
import type { Guard } from "./program.js";
import type { SetCatalogue } from "./set-catalogue.js";

/** The guards of one direction, in the order of the policy: of flows opened in it, and of the answers to the others. */
export function layGuards(
  direction: Direction,
  rules: readonly Rule[],
  catalogue: SetCatalogue,
): readonly Guard[] {
  const guards: Guard[] = [];
  const seen = new Set<string>();
  for (const rule of rules.filter((candidate) => candidate.secure)) {
    const of = rule.direction === direction ? "original" : "reply";
    for (const service of rule.services ?? [null]) {
      if (of === "reply" && !isAnswered(service)) continue;
      for (const name of rule.peers) {
        const set = name === "any" ? null : catalogue.use([name]);
        const match = { service, set };
        const text = JSON.stringify([of, match]);
        if (seen.has(text)) continue;
        seen.add(text);
        guards.push({ of, match, rule: rule.id });
      }
    }
  }
  return guards;
}

/** A service of ICMP answers opens nothing that could be answered. */
function isAnswered(service: Service | null): boolean {
  if (service === null || service.icmpType === null) return true;
  return requestType(service.protocol, service.icmpType) === null;
}
