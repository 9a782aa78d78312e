import type { PacketFilter } from "../ports.js";
import type { SetKey } from "../program/program.js";
import { isNoChange, type SetChange } from "../program/set-change.js";
import type { Installed } from "./command.js";

/** How sets differ from what they should hold. */
export interface Corrections {
  /** What those that differ lack, and what they have too much. */
  readonly corrections: ReadonlyMap<SetKey, SetChange>;
  /** Those of which that cannot be told. */
  readonly untold: ReadonlySet<SetKey>;
}

/** Reads the sets of these keys, member by member. Rejects when the kernel cannot be read. */
export async function readCorrections(
  filter: PacketFilter,
  { program, instances }: Installed,
  keys: Iterable<SetKey>,
  signal: AbortSignal,
): Promise<Corrections> {
  const corrections = new Map<SetKey, SetChange>();
  const untold = new Set<SetKey>();
  for (const key of keys) {
    const [instance, content] = [instances.get(key), program.sets.get(key)];
    if (instance === undefined || content === undefined) continue;
    const correction = await filter.correction(instance, content, { signal });
    if (correction === null) untold.add(key);
    else if (!isNoChange(correction)) corrections.set(key, correction);
  }
  return { corrections, untold };
}
