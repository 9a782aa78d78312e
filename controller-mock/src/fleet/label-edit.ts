import { AddressSet, AntennaError, type Problem } from "@antenna/sdk";
import { labelKeyProblem, labelTextProblem } from "../policy/label.js";

/** As many as a person can mean. */
const most = 64;

export interface LabelEdit {
  readonly set: Readonly<Record<string, string>>;
  /** Keys; those that are not there are left alone. */
  readonly removed: readonly string[];
}

/** The labels after the edit. @throws AntennaError `input-refused` with every problem. */
export function editLabels(
  labels: Readonly<Record<string, string>>,
  { set, removed }: LabelEdit,
): Readonly<Record<string, string>> {
  const next = new Map(Object.entries(labels));
  for (const key of removed) next.delete(key);
  for (const [key, value] of Object.entries(set)) next.set(key, value);
  const problems = Array.from(next).flatMap(([key, value]) =>
    [labelKeyProblem(key), labelTextProblem(value)].flatMap((problem) =>
      problem === null ? [] : [{ path: `labels.${key}`, problem }],
    ),
  );
  if (next.size > most)
    problems.push({ path: "labels", problem: `has ${next.size} entries; ${most} is the most` });
  throwIfAny("read labels", problems);
  return Object.fromEntries(next);
}

/** What a pairing key is to allow. @throws AntennaError `input-refused` with every problem. */
export function checkKeyOptions(options: {
  readonly uses: number;
  readonly ttlMs: number;
  readonly addresses: readonly string[];
  readonly delegate: readonly string[];
}): void {
  const problems: Problem[] = [];
  const { uses, ttlMs, addresses, delegate } = options;
  if (!Number.isSafeInteger(uses) || uses < 1)
    problems.push({ path: "uses", problem: "is not a number of 1 or more" });
  if (!Number.isSafeInteger(ttlMs) || ttlMs < 1 || ttlMs > longestTtlMs) {
    problems.push({ path: "ttlMs", problem: `is not a duration of up to ${longestTtlMs / 86_400_000} days` });
  }
  if (addresses.length > most) problems.push({ path: "addresses", problem: `has more than ${most} entries` });
  for (const [index, block] of addresses.entries()) {
    const problem = AddressSet.builder().addText(block);
    if (problem !== null) problems.push({ path: `addresses[${index}]`, problem });
  }
  if (delegate.length > most) problems.push({ path: "delegate", problem: `has more than ${most} entries` });
  for (const [index, key] of delegate.entries()) {
    const problem = labelKeyProblem(key);
    if (problem !== null) problems.push({ path: `delegate[${index}]`, problem });
  }
  throwIfAny("make a pairing key", problems);
}

const longestTtlMs = 3650 * 86_400_000;

function throwIfAny(operation: string, problems: readonly Problem[]): void {
  const [first] = problems;
  if (first === undefined) return;
  const message = `${first.path}: ${first.problem}`;
  throw new AntennaError({ code: "input-refused", operation, message, problems });
}
