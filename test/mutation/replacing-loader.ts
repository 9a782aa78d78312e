import { readFileSync } from "node:fs";
import type { LoadHook } from "node:module";
import { fileURLToPath } from "node:url";

/** One module, and the file whose content takes its place. */
export interface Replacement {
  readonly module: string;
  readonly content: string;
}

let replacement: Replacement | null = null;

/** module.register's data. */
export function initialize(data: Replacement): void {
  replacement = data;
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const result = await nextLoad(url, context);
  if (replacement === null || !url.startsWith("file:") || fileURLToPath(url) !== replacement.module)
    return result;
  return { ...result, source: readFileSync(replacement.content, "utf8"), shortCircuit: true };
};
