import { AntennaError } from "../../error.js";
import { policyDigest } from "../../policy/digest.js";
import { compareVersions, formatVersion } from "../../policy/version.js";
import type { LinkedAgent, OfferOutcome } from "../../ports.js";
import { type AssembledPolicy, PolicyAssembler } from "../codec/policy-assembler.js";
import type { PolicyHeader, PolicyPart } from "../codec/policy-part.js";
import type { PolicyKeyChain } from "../signature/policy-key-chain.js";
import { proofProblem } from "../signature/policy-proof.js";

/** Parts that the controller may have on the way; 256 KiB each. */
export const creditWindow = 16;
/** Credit goes back in groups, so that it does not cost a message a part. */
const creditGroup = 4;
/** Offers that the agent has and has not settled; beyond that no more credit is given. */
const mostOffers = 4;

export interface PolicyIntakeOptions {
  readonly workload: string;
  readonly agent: LinkedAgent;
  readonly keys: () => PolicyKeyChain;
  readonly onCredit: (chunks: number) => void;
  /** The policy in hand is not the one that a delta was made for. */
  readonly onBaseMismatch: (reason: string) => void;
  /** What was offered is not taken; the policy in force stays. */
  readonly onRefused: (outcome: OfferOutcome) => void;
  /** An offer was signed as it should be, and the agent has it. */
  readonly onOffered: () => void;
}

/** A delta that was made for another policy: no fault of anybody's, the whole policy is asked for. */
class BaseMismatch extends Error {}

/**
 * Takes policies in, part by part: who signed, for whom and whether it is not older than what was accepted is asked of the
 * header, before anything that it announces is taken in. What is whole is offered to the agent.
 */
export class PolicyIntake {
  readonly #options: PolicyIntakeOptions;
  readonly #assembler: PolicyAssembler;
  /** Parts that may still come. */
  #credit = creditWindow;
  /** Parts taken in and not given back as credit. */
  #owed = 0;
  /** Digests of what the agent has and has not settled, the newest last. */
  readonly #offered: string[] = [];
  /** The whole policy was asked for and has not come: deltas that were on their way are no reason to ask again. */
  #isWholeAwaited = false;
  /** Of the policy whose parts come, or came last. */
  #header: PolicyHeader | null = null;

  constructor(options: PolicyIntakeOptions) {
    this.#options = options;
    this.#assembler = new PolicyAssembler({ admit: (header) => this.#admit(header) });
  }

  /** null: taken in, or refused as a policy; else how the controller broke the protocol. */
  push(part: PolicyPart): string | null {
    if (this.#credit === 0) return "it sent more parts of policies than it had credit for";
    if (part.header === null && this.#header === null) return "it sent a part of a policy that never began";
    this.#credit -= 1;
    this.#owed += 1;
    const header = part.header ?? (this.#header as PolicyHeader);
    this.#header = header;
    try {
      const assembled = this.#assembler.push(part);
      if (assembled !== null) this.#offer(assembled);
    } catch (reason) {
      this.#refuse(header, reason);
    }
    this.#giveCredit();
    return null;
  }

  #admit(header: PolicyHeader): void {
    const { agent, keys, workload } = this.#options;
    const problem = proofProblem({ workload, ...header }, header.proof, keys());
    if (problem !== null) throw refusal("header.signature", problem);
    const { floor } = agent.report();
    if (floor !== null && compareVersions(header.version, floor) < 0)
      throw refusal(
        "header.version",
        `${formatVersion(header.version)} is lower than ${formatVersion(floor)}, which was accepted before`,
      );
    if (header.base === null) this.#isWholeAwaited = false;
    else if (!this.#applies(header.base))
      throw new BaseMismatch(`the delta is to ${header.base}, which is not in hand`);
  }

  /** True when the newest policy in hand, or on its way to the agent, has that digest. */
  #applies(base: string): boolean {
    const newest = this.#offered.at(-1);
    if (newest !== undefined) return newest === base;
    const policy = this.#options.agent.policy();
    return policy !== null && policyDigest(policy) === base;
  }

  #offer({ header, content }: AssembledPolicy): void {
    const { version, digest, proof, probation } = header;
    this.#offered.push(digest);
    this.#options.onOffered();
    const settle = (): void => {
      this.#offered.splice(this.#offered.indexOf(digest), 1);
      this.#giveCredit();
    };
    this.#options.agent
      .offer({ policy: content, version, digest, proof, probation })
      .then(settle, (reason) => {
        settle();
        this.#refuseOffer(header, reason);
      });
  }

  #refuseOffer(header: PolicyHeader, reason: unknown): void {
    const error = AntennaError.from(reason, "take an offered policy");
    const isBase = error.code === "input-refused" && error.problems.some(({ path }) => path === "base");
    if (isBase) {
      this.#askForWhole(error.message);
      return;
    }
    // The agent tells its own verdict; this one is for whatever it does not speak of.
    const told = this.#options.agent.report().refused;
    if (told !== null && compareVersions(told.version, header.version) === 0) return;
    this.#options.onRefused({ version: header.version, result: "refused", reason: reasonOf(error) });
  }

  #refuse({ version }: PolicyHeader, reason: unknown): void {
    if (reason instanceof BaseMismatch) {
      this.#askForWhole(reason.message);
      return;
    }
    const error = AntennaError.from(reason, "take in a policy");
    this.#options.onRefused({ version, result: "refused", reason: reasonOf(error) });
  }

  #askForWhole(reason: string): void {
    if (this.#isWholeAwaited) return;
    this.#isWholeAwaited = true;
    this.#options.onBaseMismatch(reason);
  }

  #giveCredit(): void {
    const isEnough = this.#owed >= creditGroup || (this.#owed > 0 && !this.#assembler.isTaking);
    if (!isEnough || this.#offered.length > mostOffers) return;
    this.#credit += this.#owed;
    this.#options.onCredit(this.#owed);
    this.#owed = 0;
  }
}

function reasonOf(error: AntennaError): string {
  if (error.problems.length === 0) return error.message;
  return error.problems
    .map(({ path, problem }) => (path === "" ? problem : `${path}: ${problem}`))
    .join("\n");
}

function refusal(path: string, problem: string): AntennaError {
  return new AntennaError({
    code: "input-refused",
    operation: "take in a policy",
    message: `refused: ${path}: ${problem}`,
    problems: [{ path, problem }],
  });
}
