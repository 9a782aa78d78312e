/** What a character of a JavaScript source belongs to. */
export type Region = "code" | "string" | "comment";

/** For each character its region. Knows quotes, templates with expressions inside, regular expressions and comments. */
export function maskSource(source: string): readonly Region[] {
  const regions: Region[] = new Array<Region>(source.length).fill("code");
  const fill = (from: number, to: number, region: Region): void => {
    regions.fill(region, from, Math.min(to, source.length));
  };
  // Depths of braces at which a template's expression ends and its text goes on.
  const templates: number[] = [];
  let depth = 0;
  let at = 0;
  const text = (from: number): number => {
    let end = from;
    while (end < source.length && source[end] !== "`" && !source.startsWith("${", end)) {
      end += source[end] === "\\" ? 2 : 1;
    }
    fill(from, end, "string");
    if (source[end] === "`") return end + 1;
    templates.push(depth);
    depth += 1;
    return end + 2;
  };
  while (at < source.length) {
    const character = source.charAt(at);
    if (source.startsWith("//", at)) at = until(source, "\n", at, (end) => fill(at, end, "comment"));
    else if (source.startsWith("/*", at))
      at = until(source, "*/", at, (end) => fill(at, end + 2, "comment")) + 2;
    else if (character === '"' || character === "'") {
      const end = closing(source, at);
      fill(at, end + 1, "string");
      at = end + 1;
    } else if (character === "`") at = text(at + 1);
    else if (character === "/" && beginsExpression(source, at)) {
      const end = closing(source, at);
      fill(at, end + 1, "string");
      at = end + 1;
    } else {
      if (character === "{") depth += 1;
      if (character === "}") depth -= 1;
      at += 1;
      if (character === "}" && templates.at(-1) === depth) {
        templates.pop();
        at = text(at);
      }
    }
  }
  return regions;
}

function until(source: string, end: string, from: number, found: (at: number) => void): number {
  const at = source.indexOf(end, from + 1);
  found(at < 0 ? source.length : at);
  return at < 0 ? source.length : at;
}

/** Where what begins at `from` with a quote or a slash ends. */
function closing(source: string, from: number): number {
  const quote = source.charAt(from);
  let inClass = false;
  for (let at = from + 1; at < source.length; at++) {
    const character = source.charAt(at);
    if (character === "\\") at += 1;
    else if (quote === "/" && character === "[") inClass = true;
    else if (quote === "/" && character === "]") inClass = false;
    else if (character === quote && !inClass) return at;
  }
  return source.length;
}

function beginsExpression(source: string, at: number): boolean {
  const before = source.slice(0, at).trimEnd();
  return /(?:[(,=:[!&|?{};]|return|=>)$/.test(before);
}
