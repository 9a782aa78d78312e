import type { Essential } from "../evaluate/essential.js";
import { builtinEssentials, type EssentialFacts } from "../evaluate/essentials.js";
import type { Policy } from "../policy/model.js";
import { compile } from "../program/compile.js";
import type { RuleProgram } from "../program/program.js";
import type { Goal } from "../reconcile/goal.js";

export interface PolicyProgramsOptions {
  readonly onAllow: "return" | "accept";
  readonly maxMembers: number;
  readonly facts: EssentialFacts;
}

interface Compiled {
  /** What they were compiled with. */
  readonly facts: EssentialFacts;
  /** By `observing`; null: idle. */
  readonly programs: Map<boolean, RuleProgram | null>;
}

/** The programs of policies on this host: the same policy under the same essentials gives the same object. */
export class PolicyPrograms {
  readonly #onAllow: "return" | "accept";
  readonly #maxMembers: number;
  readonly #compiled = new WeakMap<Policy, Compiled>();
  #facts: EssentialFacts;

  constructor(options: PolicyProgramsOptions) {
    this.#onAllow = options.onAllow;
    this.#maxMembers = options.maxMembers;
    this.#facts = options.facts;
  }

  /** From now on programs let these pass. */
  setEssentials(facts: EssentialFacts): void {
    this.#facts = facts;
  }

  /** @param observing the same, dropping nothing. null: the policy is idle. */
  compile(policy: Policy, observing: boolean): RuleProgram | null {
    let compiled = this.#compiled.get(policy);
    if (compiled === undefined || compiled.facts !== this.#facts) {
      compiled = { facts: this.#facts, programs: new Map() };
      this.#compiled.set(policy, compiled);
    }
    const known = compiled.programs.get(observing);
    if (known !== undefined) return known;
    const program = compile(policy, {
      essentials: this.essentials(policy),
      onAllow: this.#onAllow,
      settling: observing,
      maxMembers: this.#maxMembers,
    });
    compiled.programs.set(observing, program);
    return program;
  }

  /** What is to stand in the kernel for it. */
  goal(policy: Policy): Goal {
    if (policy.mode === "idle") return { kind: "nothing", state: "idle" };
    return {
      kind: "rules",
      enforcing: policy.mode !== "visibility",
      program: (observing) => {
        const program = this.compile(policy, observing);
        if (program === null) throw new TypeError("an idle policy has no program");
        return program;
      },
    };
  }

  essentials(policy: Policy): readonly Essential[] {
    return builtinEssentials(policy, this.#facts);
  }
}
