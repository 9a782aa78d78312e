import type { Difference } from "@antenna/sdk";
import { jumpIsFirst, type TableReading } from "../backend/rule-table.js";
import type { Ruleset } from "../render/chain.js";
import { type ChainBaselines, hashChain } from "./filter-tables.js";

/** How the table differs from the ruleset, judged by what the kernel gave back after our own write. */
export function ruleDifferences(
  ruleset: Ruleset,
  reading: TableReading,
  known: ChainBaselines,
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
      if (!wanted.has(name)) add("rules", name, "a chain of our names that we did not write");
    }
  }
  for (const jump of ruleset.jumps) {
    const builtin = reading.builtins[jump.builtin];
    const text = `-A ${jump.builtin} -j ${jump.entry}`;
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
