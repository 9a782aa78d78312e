/**
 * Controls, formats (bidirectional and zero-width ones too), private use, surrogates, line separators and noncharacters.
 * Unassigned code points are let through: what is unassigned differs from one Unicode version to the next.
 */
const unprintable = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}]/u;

export const unpaired = "a text holds half of a surrogate pair, which is no character";

/** True when every surrogate has its other half, so that the text has a UTF-8 form. */
export function isWellFormed(text: string): boolean {
  return !/\p{Cs}/u.test(text);
}

/** Why a text cannot be the name of something; null: it can. `bytes`: the most it may have. */
export function nameProblem(text: string, bytes: number): string | null {
  if (text === "") return "is empty";
  const length = Buffer.byteLength(text, "utf8");
  if (length > bytes) return `is ${length} bytes long; ${bytes} is the most`;
  if (unprintable.test(text)) return "holds characters that do not print";
  return text.trim() === "" ? "is blank" : null;
}
