import type { Direction, PortRange } from "../policy/model.js";
import type { Guard, RuleProgram, ServiceTest, SetKey, Tier } from "./program.js";

/**
 * What a member more in a set can do to a verdict: only turn denied into allowed, only allowed into denied, or either. In
 * sets of one leaning, several memberships may change one after another, as every step goes the same way.
 */
export type Leaning = "allows" | "denies" | "either";

/** Where a set is asked: by which packets. */
interface Place {
  readonly direction: Direction;
  /** null: any service. */
  readonly service: ServiceTest | null;
}

export interface SetUse {
  readonly leaning: Leaning;
  readonly places: readonly Place[];
}

/** How each set of a program is used. */
export function setUses(program: RuleProgram): ReadonlyMap<SetKey, SetUse> {
  const uses = new Map(placesInRules(program.directions));
  const guarded = program.directions.in.guards.length + program.directions.out.guards.length > 0;
  for (const { set, direction } of program.essentials) {
    if (set === undefined) continue;
    // An exemption from a guard is also asked of the replies, which go the other way.
    const directions: readonly Direction[] = guarded ? ["in", "out"] : [direction];
    for (const each of directions) note(uses, set, "allows", { direction: each, service: null });
  }
  return uses;
}

/** True when some packet may ask both sets. Errs towards true. */
export function askedTogether(a: SetUse, b: SetUse): boolean {
  if (a.places.length * b.places.length > 10_000) return true;
  return a.places.some((x) =>
    b.places.some((y) => x.direction === y.direction && servicesMeet(x.service, y.service)),
  );
}

type Uses = Map<SetKey, SetUse>;

const known = new WeakMap<RuleProgram["directions"], ReadonlyMap<SetKey, SetUse>>();

function placesInRules(directions: RuleProgram["directions"]): ReadonlyMap<SetKey, SetUse> {
  const cached = known.get(directions);
  if (cached !== undefined) return cached;
  const uses: Uses = new Map();
  for (const direction of ["in", "out"] as const) {
    for (const guard of directions[direction].guards) noteGuard(uses, direction, guard);
    for (const { action, tier } of directions[direction].stages) {
      noteTier(uses, action === "allow" ? "allows" : "denies", { direction, service: null }, tier);
    }
  }
  known.set(directions, uses);
  return uses;
}

/** In answers a guard looks at the other port: there, any service. */
function noteGuard(uses: Uses, direction: Direction, { of, match }: Guard): void {
  if (match.set === null) return;
  note(uses, match.set, "denies", { direction, service: of === "original" ? match.service : null });
}

function noteTier(uses: Uses, leaning: Leaning, outer: Place, tier: Tier): void {
  tier.steps.forEach(({ match, then: outcome }, index) => {
    const place =
      match.service === null ? outer : { ...outer, service: narrower(outer.service, match.service) };
    if (match.set !== null) {
      // A tier that is entered is not left again: unless it stands last, being asked takes the later steps away.
      const shadows = outcome.kind === "tier" && index < tier.steps.length - 1;
      note(uses, match.set, shadows ? "either" : leaning, place);
    }
    if (outcome.kind === "tier") noteTier(uses, leaning, place, outcome.tier);
  });
}

function narrower(outer: ServiceTest | null, inner: ServiceTest): ServiceTest {
  return outer === null || inner.ports !== null || inner.icmpType !== null ? inner : outer;
}

function note(uses: Map<SetKey, SetUse>, key: SetKey, leaning: Leaning, place: Place): void {
  const use = uses.get(key);
  if (use === undefined) {
    uses.set(key, { leaning, places: [place] });
    return;
  }
  uses.set(key, {
    leaning: use.leaning === leaning ? leaning : "either",
    places: [...use.places, place],
  });
}

function servicesMeet(a: ServiceTest | null, b: ServiceTest | null): boolean {
  if (a === null || b === null) return true;
  if (a.protocol !== b.protocol) return false;
  if (a.icmpType !== null && b.icmpType !== null && a.icmpType !== b.icmpType) return false;
  return a.ports === null || b.ports === null || a.ports.some((x) => b.ports?.some((y) => rangesMeet(x, y)));
}

function rangesMeet(a: PortRange, b: PortRange): boolean {
  return a.from <= b.to && b.from <= a.to;
}
