import { stripVTControlCharacters } from "node:util";

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;
export type Colour = keyof typeof codes;

/** Where a command writes: documents on `out`, words for people on `err`. */
export interface Terminal {
  out(text: string): Promise<void>;
  err(text: string): void;
  /** Colours text where `out` is a terminal and nobody asked for none (https://no-color.org). */
  paint(colour: Colour, text: string): string;
  readonly stdin: AsyncIterable<Uint8Array>;
}

export function systemTerminal(): Terminal {
  const coloured = process.stdout.isTTY === true && (process.env.NO_COLOR ?? "") === "";
  // The reader of a pipe has seen enough (`antenna policy --json | head`): nothing is wrong.
  process.stdout.on("error", (reason) => {
    if ("code" in reason && reason.code === "EPIPE") process.exit(0);
    throw reason;
  });
  return {
    out: (text) =>
      new Promise((resolve, reject) => {
        process.stdout.write(text, (reason) => (reason ? reject(reason) : resolve()));
      }),
    err: (text) => void process.stderr.write(text),
    paint: (colour, text) => (coloured ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text),
    stdin: process.stdin,
  };
}

/**
 * Columns of text, as wide as their widest cell, two spaces apart; the last column is not padded. Control characters
 * from outside are shown as `?`, so that no name moves the cursor; colours are kept.
 */
export function table(rows: readonly (readonly string[])[]): string {
  const clean = rows.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of clean) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, visibleLength(cell));
    });
  }
  const lines = clean.map((row) => {
    const cells = row.map((cell, column) =>
      column === row.length - 1 ? cell : cell + " ".repeat((widths[column] ?? 0) - visibleLength(cell)),
    );
    return cells.join("  ").trimEnd();
  });
  return lines.map((line) => `${line}\n`).join("");
}

function visibleLength(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** Controls, formats (those that turn the direction of text too) and line separators. */
const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Text from outside, safe to show on one line of a terminal; colours are kept. */
export function printable(text: string): string {
  return text.replace(hidden, (character, at: number) =>
    character === "\u001b" && /^\[\d{1,2}m/.test(text.slice(at + 1, at + 5)) ? character : "?",
  );
}

/** `1 rule`, `2 rules`. */
export function count(number: number, singular: string, plural = `${singular}s`): string {
  return `${number} ${number === 1 ? singular : plural}`;
}
