/** One rule of somebody's as iptables-save prints it. */
export interface SavedRule {
  /** Without `-A CHAIN `. */
  readonly text: string;
  readonly words: readonly string[];
}

export interface SavedChain {
  /** null: a chain of the owner's own. */
  readonly policy: string | null;
  readonly rules: readonly SavedRule[];
}

export type SavedTables = ReadonlyMap<string, ReadonlyMap<string, SavedChain>>;

/** Reads what iptables-save printed; lines that are not understood are left out. */
export function parseSaved(saved: string): SavedTables {
  const tables = new Map<string, Map<string, { policy: string | null; rules: SavedRule[] }>>();
  let table = new Map<string, { policy: string | null; rules: SavedRule[] }>();
  for (const line of saved.split("\n")) {
    if (line.startsWith("*")) {
      table = new Map();
      tables.set(line.slice(1).trim(), table);
    } else if (line.startsWith(":")) {
      const [name = "", policy = "-"] = line.slice(1).split(" ");
      table.set(name, { policy: policy === "-" ? null : policy, rules: [] });
    } else if (line.startsWith("-A ")) {
      const [name = "", ...words] = splitWords(line.slice(3));
      table.get(name)?.rules.push({ text: line.slice(4 + name.length).trim(), words });
    }
  }
  return tables;
}

/** Words as iptables-save quotes them: `"…"` with backslashes before quotes and backslashes. */
function splitWords(line: string): readonly string[] {
  const words: string[] = [];
  for (const [, quoted, plain] of line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)) {
    words.push(quoted === undefined ? (plain ?? "") : quoted.replace(/\\(.)/g, "$1"));
  }
  return words;
}
