import { AntennaError } from "@antenna/sdk";
import { compareNames, quote } from "@antenna/sdk/document";

/** Labels of a workload, by key. */
export type Labels = ReadonlyMap<string, string>;

/** In selectors it stands for lists of addresses, so that no label can have it. */
export const reservedKey = "ipList";

const labelText = /^[A-Za-z0-9._/-]{1,63}$/;

/** Why a text is neither the key nor the value of a label; null: it can be both. */
export function labelTextProblem(text: string): string | null {
  return labelText.test(text) ? null : `${quote(text)} is not 1-63 characters of A-Z a-z 0-9 . _ / -`;
}

/** Why a text cannot be the key of a label; null: it can. */
export function labelKeyProblem(key: string): string | null {
  return key === reservedKey ? "the key ipList is reserved for lists of addresses" : labelTextProblem(key);
}

/**
 * A label from `key=value`, as command lines give it.
 *
 * @throws AntennaError `input-refused`
 */
export function parseLabel(text: string): readonly [key: string, value: string] {
  const at = text.indexOf("=");
  const [key, value] = [text.slice(0, at), text.slice(at + 1)];
  const problem =
    at < 0
      ? `${quote(text)} is not a label; write key=value`
      : (labelKeyProblem(key) ?? labelTextProblem(value));
  if (problem === null) return [key, value];
  const problems = [{ path: "", problem }];
  throw new AntennaError({ code: "input-refused", operation: "read a label", message: problem, problems });
}

/** One text for equal labels. */
export function labelsText(labels: Labels): string {
  return Array.from(labels, ([key, value]) => `${key}=${value}`)
    .sort(compareNames)
    .join(" ");
}
