import type { AntennaError } from "../error.js";
import type { Policy } from "../policy/model.js";
import type { FilterDescription } from "../ports.js";
import type { ProblemBoard } from "../reconcile/problem-board.js";

/** Nothing here brings IPsec up: secure rules are enforced, and what they cover does not pass. */
export function judgeProtection(problems: ProblemBoard, policy: Policy): void {
  const secure = policy.mode === "idle" ? undefined : policy.rules.find((rule) => rule.secure);
  if (secure === undefined) {
    problems.clear("not-protected");
    return;
  }
  problems.raise(
    "not-protected",
    `rule ${secure.id} asks for IPsec, and nothing here brings it up: what secure rules cover is denied unless other means protect it`,
  );
}

/** What of an earlier policy could not be taken out of the kernel. */
export function judgeLeftovers(problems: ProblemBoard, { leftovers = [] }: FilterDescription): void {
  const [first, ...more] = leftovers;
  if (first === undefined) {
    problems.clear("leftovers");
    return;
  }
  const others = more.length === 0 ? "" : `; ${more.length} more stay for the same reason`;
  problems.raise("leftovers", `${first.kind} ${first.name} of an earlier policy: ${first.reason}${others}`);
}

/** Every reason for which a policy was refused. */
export function refusalText({ operation, message, problems }: AntennaError): string {
  const reasons = problems.map(({ path, problem }) => (path === "" ? problem : `${path}: ${problem}`));
  return reasons.length === 0 ? message : `${operation}: ${reasons.join("; ")}`;
}
