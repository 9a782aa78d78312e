import { AntennaError } from "../../error.js";
import { applyDelta } from "../../policy/delta.js";
import type { LinkedAgent } from "../../ports.js";
import { assemblePart } from "../codec/policy-assembler.js";
import type { PolicyPart } from "../codec/policy-part.js";

/** What would a policy change here? As the controller asks. */
export interface PreviewQuestion {
  readonly id: number;
  readonly part: PolicyPart;
  readonly examples: number;
}

export interface PreviewAnswer {
  readonly id: number;
  readonly document: string | null;
  readonly problem: string | null;
}

/** Questions that wait while one is answered. */
const mostWaiting = 4;
const mostExamples = 1_000;

/** Answers previews one after another; what comes when too many wait is answered by that. */
export class PreviewAnswers {
  readonly #agent: LinkedAgent;
  readonly #onAnswer: (answer: PreviewAnswer) => void;
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(agent: LinkedAgent, onAnswer: (answer: PreviewAnswer) => void) {
    this.#agent = agent;
    this.#onAnswer = onAnswer;
  }

  ask(question: PreviewQuestion): void {
    if (this.#waiting >= mostWaiting) {
      this.#onAnswer({ id: question.id, document: null, problem: "too many previews are asked for at once" });
      return;
    }
    this.#waiting += 1;
    this.#last = this.#last.then(async () => {
      const answer = await this.#answer(question);
      this.#waiting -= 1;
      this.#onAnswer(answer);
    });
  }

  async #answer({ id, part, examples }: PreviewQuestion): Promise<PreviewAnswer> {
    try {
      const { content } = assemblePart(part);
      const policy = "base" in content ? this.#applied(content) : content;
      const report = await this.#agent.preview(policy, Math.min(examples, mostExamples));
      return { id, document: JSON.stringify(report), problem: null };
    } catch (reason) {
      return { id, document: null, problem: AntennaError.from(reason, "preview a policy").message };
    }
  }

  #applied(delta: Parameters<typeof applyDelta>[1]): ReturnType<typeof applyDelta> {
    const policy = this.#agent.policy();
    if (policy !== null) return applyDelta(policy, delta);
    const message = "there is no policy that the change could apply to";
    throw new AntennaError({ code: "input-refused", operation: "preview a policy", message });
  }
}
