import { AntennaError } from "../../error.js";
import { quote } from "../../policy/address.js";
import type { PolicyDelta, SetDelta } from "../../policy/delta.js";
import { policyDigest } from "../../policy/digest.js";
import type { PolicyRest } from "../../policy/format.js";
import { policyLimits } from "../../policy/limits.js";
import type { Policy } from "../../policy/model.js";
import { compareNames } from "../../policy/normalise.js";
import { readPolicyValue } from "../../policy/parse.js";
import { nameProblem } from "../../policy/printable.js";
import type { PackedChange, PolicyHeader, PolicyPart } from "./policy-part.js";
import { blocksIn, SetIntake } from "./set-intake.js";

/** A policy or delta whose parts are all in. A delta has a `base`. */
export interface AssembledPolicy {
  readonly header: PolicyHeader;
  /**
   * A policy is valid, as one from a document, and has the digest that its header names. A delta is judged when it is
   * applied: by `applyDelta`, and by the digest of what results, which must be the header's.
   */
  readonly content: Policy | PolicyDelta;
}

export interface PolicyAssemblerOptions {
  /** Called with the header before anything that it announces is taken in: what it throws refuses the policy. */
  readonly admit?: (header: PolicyHeader) => void;
}

/** What is being taken in. */
interface Intake {
  readonly header: PolicyHeader;
  /** Sets that are complete: the parts of a set follow each other. */
  readonly sets: Map<string, SetDelta>;
  current: SetIntake | null;
  members: number;
}

/**
 * Puts policies together from their parts. Blocks go straight into packed arrays: a member takes few bytes on the way, and
 * no more come in than a policy may have.
 */
export class PolicyAssembler {
  readonly #admit: (header: PolicyHeader) => void;
  #intake: Intake | null = null;
  /** The policy in hand was refused: what is left of it is passed over. */
  #isRefused = false;

  constructor(options: PolicyAssemblerOptions = {}) {
    this.#admit = options.admit ?? (() => {});
  }

  /** True between the first part and the last. */
  get isTaking(): boolean {
    return this.#intake !== null || this.#isRefused;
  }

  /**
   * Takes the next part in; it may be changed afterwards. null: more is to come, or it belongs to a policy that was refused.
   * After a refusal the rest of that policy is passed over, and the next one begins anew.
   *
   * @throws AntennaError `input-refused` with every problem found so far, or what `admit` throws.
   */
  push(part: PolicyPart): AssembledPolicy | null {
    if (this.#isRefused && part.header === null) {
      this.#isRefused = !part.last;
      return null;
    }
    try {
      this.#isRefused = false;
      const intake = this.#begin(part);
      for (const [index, change] of part.changes.entries()) takeChange(intake, change, index);
      if (!part.last) return null;
      this.#intake = null;
      return finish(intake);
    } catch (reason) {
      this.#intake = null;
      this.#isRefused = !part.last;
      throw reason;
    }
  }

  #begin(part: PolicyPart): Intake {
    const { header } = part;
    if (header === null) {
      if (this.#intake === null)
        throw refusal("header", "is missing: this is not the first part of a policy");
      if (part.changes.length === 0 && !part.last)
        throw refusal("changes", "is empty, and it is not the last part");
      return this.#intake;
    }
    if (this.#intake !== null) throw refusal("header", "comes before the last part of the policy before it");
    checkHeader(header);
    this.#admit(header);
    this.#intake = { header, sets: new Map(), current: null, members: 0 };
    return this.#intake;
  }
}

/** The policy or delta that is one part, of a preview. @throws AntennaError `input-refused` */
export function assemblePart(part: PolicyPart): AssembledPolicy {
  const assembled = part.last ? new PolicyAssembler().push(part) : null;
  if (assembled === null) throw refusal("last", "is not set: the policy is not whole");
  return assembled;
}

function checkHeader(header: PolicyHeader): void {
  if (header.base !== null) return;
  if (header.rest === null) throw refusal("header.rest", "is missing; a whole policy has one");
  if (header.removedSets.length > 0) throw refusal("header.removedSets", "stands in deltas only");
}

function takeChange(intake: Intake, change: PackedChange, index: number): void {
  const { header, sets } = intake;
  const path = `changes[${index}]`;
  if (header.base === null && change.removed4.length + change.removed6.length > 0)
    throw refusal(path, "takes members out; that stands in deltas only");
  intake.members += blocksIn(change);
  if (intake.members > policyLimits.members) throw refusal(path, `more than ${policyLimits.members} members`);
  if (intake.current?.name !== change.name) {
    closeSet(intake);
    const problem = change.name === "any" ? "is built in" : nameProblem(change.name, policyLimits.nameBytes);
    if (problem !== null) throw refusal(`${path}.name`, `the name of a set ${problem}`);
    if (sets.has(change.name))
      throw refusal(`${path}.name`, `${quote(change.name)} comes back; the parts of a set follow each other`);
    if (sets.size === policyLimits.sets) throw refusal(path, `more than ${policyLimits.sets} sets`);
    intake.current = new SetIntake(change.name);
  }
  const problem = intake.current?.take(change) ?? null;
  if (problem !== null) throw refusal(`sets[${quote(change.name)}].${problem.list}`, problem.problem);
}

function closeSet(intake: Intake): void {
  if (intake.current !== null) intake.sets.set(intake.current.name, intake.current.build());
  intake.current = null;
}

function finish(intake: Intake): AssembledPolicy {
  closeSet(intake);
  const { header, sets } = intake;
  const { base, version, removedSets, rest } = header;
  if (base !== null) return { header, content: { base, version, sets, removedSets, rest } };
  return { header, content: finishPolicy(header, rest, sets) };
}

function finishPolicy(
  header: PolicyHeader,
  rest: PolicyRest | null,
  changes: ReadonlyMap<string, SetDelta>,
): Policy {
  const sets = new Map(
    Array.from(changes, ([name, { added }]) => [name, added] as const).sort(([a], [b]) => compareNames(a, b)),
  );
  const policy = { ...readPolicyValue(rest, sets, operation), version: header.version };
  const digest = policyDigest(policy);
  if (digest === header.digest) return policy;
  throw refusal("header.digest", `is ${header.digest}, but the policy that came has ${digest}`);
}

const operation = "take in a policy";

function refusal(path: string, problem: string): AntennaError {
  return new AntennaError({
    code: "input-refused",
    operation,
    message: `refused: ${path}: ${problem}`,
    problems: [{ path, problem }],
  });
}
