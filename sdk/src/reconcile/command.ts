import type { Family } from "../policy/model.js";
import type { ProgramSet, RuleProgram, SetKey } from "../program/program.js";

/**
 * A set as it stands in the kernel. Its name carries a generation: new content that cannot be reached safely in place
 * goes into a new instance. What is fixed at creation (shape, capacity) is here.
 */
export interface SetInstance {
  readonly key: SetKey;
  /** Unique among live instances, at most 24 characters of a-z0-9-; begins with `ant-`. */
  readonly name: string;
  /** `hosts`: only whole addresses fit; `blocks`: prefixes too. By family: 4, 6. */
  readonly shapes: Readonly<Record<Family, "hosts" | "blocks">>;
  readonly kind: ProgramSet["kind"];
  /** Members it can ever hold, by family. */
  readonly capacity: Readonly<Record<Family, number>>;
}

/** A program together with the instances its sets stand in. */
export interface Installed {
  readonly program: RuleProgram;
  readonly instances: ReadonlyMap<SetKey, SetInstance>;
}

/**
 * One step of an apply, in the order of execution. Each is atomic for every packet; what lies between two of them is a
 * state that packets see.
 */
export type Command =
  /** A new instance with its whole content; nobody looks at it yet, so filling it needs no atomicity. */
  | { readonly kind: "create-set"; readonly instance: SetInstance; readonly content: ProgramSet }
  | { readonly kind: "add-members"; readonly instance: SetInstance; readonly members: ProgramSet }
  | { readonly kind: "delete-members"; readonly instance: SetInstance; readonly members: ProgramSet }
  /** The whole rule text of one family, in one transaction: `installed` as it stands afterwards. */
  | { readonly kind: "switch-rules"; readonly family: Family; readonly installed: Installed }
  /** Takes every rule and jump of ours out, in one transaction. */
  | { readonly kind: "remove-rules"; readonly family: Family }
  | { readonly kind: "destroy-set"; readonly instance: SetInstance };

export interface Plan {
  readonly commands: readonly Command[];
  /** What stands when every command was executed. */
  readonly installed: Installed;
  /** True when a packet that passed may now be denied: tracked flows must be judged again. */
  readonly narrows: boolean;
}
