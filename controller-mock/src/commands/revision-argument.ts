import { UsageError } from "@antenna/sdk/command-line";

/** null: none was given. */
export function readRevision(word: string | undefined): number | null {
  if (word === undefined) return null;
  if (!/^[1-9]\d{0,8}$/.test(word))
    throw new UsageError(`${JSON.stringify(word)} is not the number of a revision`);
  return Number(word);
}
