import { AddressSet } from "../../policy/address-set.js";
import type { SetDelta } from "../../policy/delta.js";
import { BlockIntake, blockLength } from "./packed-blocks.js";
import type { PackedChange } from "./policy-part.js";

/** How many blocks a change holds, if its lengths are right. */
export function blocksIn({ added4, added6, removed4, removed6 }: PackedChange): number {
  return (
    (added4.length + removed4.length) / blockLength(1) + (added6.length + removed6.length) / blockLength(4)
  );
}

/** Collects the changes of one set from part to part. */
export class SetIntake {
  readonly name: string;
  readonly #added4 = new BlockIntake(1, true);
  readonly #added6 = new BlockIntake(4, true);
  readonly #removed4 = new BlockIntake(1, false);
  readonly #removed6 = new BlockIntake(4, false);

  constructor(name: string) {
    this.name = name;
  }

  /** null: taken in; else the list that is wrong, and why. */
  take(change: PackedChange): { readonly list: string; readonly problem: string } | null {
    return (
      wrong("removed4", this.#removed4.take(change.removed4)) ??
      wrong("removed6", this.#removed6.take(change.removed6)) ??
      wrong("added4", this.#added4.take(change.added4)) ??
      wrong("added6", this.#added6.take(change.added6))
    );
  }

  build(): SetDelta {
    return {
      added: AddressSet.fromBlocks(this.#added4.build(), this.#added6.build()),
      removed: AddressSet.fromBlocks(this.#removed4.build(), this.#removed6.build()),
    };
  }
}

function wrong(
  list: string,
  problem: string | null,
): { readonly list: string; readonly problem: string } | null {
  return problem === null ? null : { list, problem };
}
