/**
 * Splits a line of iptables-restore text into words as `add_param_to_argv` of xshared.c does: blanks separate, double
 * quotes hold together, inside quotes a backslash takes the next character as it is. Throws on an open quote.
 */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const character = line.charAt(i);
    if (quoted) {
      if (character === "\\") {
        i += 1;
        if (i === line.length) throw new Error(`a backslash ends the line: ${line}`);
        word = (word ?? "") + line.charAt(i);
      } else if (character === '"') {
        quoted = false;
      } else {
        word = (word ?? "") + character;
      }
    } else if (character === '"') {
      quoted = true;
      word ??= "";
    } else if (character === " " || character === "\t") {
      if (word !== null) words.push(word);
      word = null;
    } else {
      word = (word ?? "") + character;
    }
  }
  if (quoted) throw new Error(`an open quote: ${line}`);
  if (word !== null) words.push(word);
  return words;
}
