import type { Difference } from "@antenna/sdk";
import { jumpIsFirst, type TableReading } from "../backend/rule-table.js";
import type { Ruleset } from "../render/chain.js";
import { type ChainBaselines, hashChain } from "./filter-tables.js";

/** Why rules that stand as they were written may enforce nothing. */
export const uncalled = "no packet meets this chain: its table is dormant, or no hook calls it";

/**
 * How the table differs from the ruleset, judged by what the kernel gave back after our own write.
 *
 * @param left chains that are not meant any more, but that a rule which is not ours leads to: empty, they are as good as gone.
 */
export function ruleDifferences(
  ruleset: Ruleset,
  reading: TableReading,
  known: ChainBaselines,
  left: ReadonlySet<string> = new Set(),
): readonly Difference[] {
  const differences: Difference[] = [];
  const { family } = ruleset;
  const add = (kind: Difference["kind"], object: string, detail: string) => {
    differences.push({ kind, family, object, detail });
  };
  if (!reading.exists) add("rules", "filter", "the whole table is gone");
  else {
    for (const chain of ruleset.chains) {
      const found = reading.chains.get(chain.name);
      const baseline = known.get(chain.name);
      if (found === undefined) add("rules", chain.name, "the chain is gone");
      else if (baseline === undefined || baseline.text !== hashChain(chain)) {
        add("rules", chain.name, "it was never written as it is meant now");
      } else if (found !== baseline.kernel)
        add("rules", chain.name, "its rules are not those that were written");
    }
    const wanted = new Set(ruleset.chains.map((chain) => chain.name));
    for (const name of reading.chains.keys()) {
      if (!wanted.has(name) && !(left.has(name) && reading.empty?.has(name)))
        add("rules", name, "a chain of our names that we did not write");
    }
  }
  for (const jump of ruleset.jumps) {
    const builtin = reading.builtins[jump.builtin];
    const text = `-A ${jump.builtin} -j ${jump.entry}`;
    if (builtin.called === false) add("rules", jump.builtin, uncalled);
    if (jumpIsFirst(builtin)) continue;
    if (builtin.jumps.length === 0) {
      add("jump-missing", jump.builtin, `no rule \`${text}\` among ${builtin.rules}`);
    } else {
      const places = builtin.jumps.map((index) => index + 1).join(", ");
      add("jump-displaced", jump.builtin, `\`${text}\` is rule ${places} instead of only the first`);
    }
  }
  return differences;
}
