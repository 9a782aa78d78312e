import { UsageError } from "@antenna/sdk/command-line";

export interface LabelChanges {
  readonly set: Readonly<Record<string, string>>;
  readonly removed: readonly string[];
}

/** `role=db` sets, `old-` removes. What a key and a value may be is the controller's to say. */
export function readLabels(words: readonly string[]): LabelChanges {
  const set = new Map<string, string>();
  const removed: string[] = [];
  for (const word of words) {
    const at = word.indexOf("=");
    if (at < 1 && !/^[^=]+-$/.test(word))
      throw new UsageError(`${JSON.stringify(word)} is neither KEY=VALUE nor KEY- (removed)`);
    const key = at < 1 ? word.slice(0, -1) : word.slice(0, at);
    if (set.has(key) || removed.includes(key))
      throw new UsageError(`the label ${JSON.stringify(key)} is given twice`);
    if (at < 1) removed.push(key);
    else set.set(key, word.slice(at + 1));
  }
  return { set: Object.fromEntries(set), removed };
}
