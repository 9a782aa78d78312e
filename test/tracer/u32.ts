/** One comparison of `-m u32`: how to come to a number, and where it must lie. Source: iptables-extensions(8), xt_u32.c. */
export interface U32Test {
  /** The first offset into the packet. */
  readonly start: number;
  readonly steps: readonly U32Step[];
  readonly ranges: readonly { readonly from: number; readonly to: number }[];
}

interface U32Step {
  readonly operator: "&" | "<<" | ">>" | "@";
  readonly operand: number;
}

/** `0x4&0x1fff=0x0&&0x0>>0x16&0x3c@0x0>>0x18=0xff`. Throws on anything else. */
export function parseU32(text: string): readonly U32Test[] {
  return text.split("&&").map((part) => {
    const [left = "", right = "", ...rest] = part.split("=").map((side) => side.trim());
    const words = left.split(/\s*(<<|>>|&|@)\s*/);
    const start = number(words[0] ?? "", text);
    const steps: U32Step[] = [];
    for (let at = 1; at < words.length; at += 2) {
      const operator = words[at];
      if (operator !== "&" && operator !== "<<" && operator !== ">>" && operator !== "@") {
        throw new Error(`no u32 test: ${text}`);
      }
      steps.push({ operator, operand: number(words[at + 1] ?? "", text) });
    }
    if (rest.length > 0) throw new Error(`no u32 test: ${text}`);
    const ranges = right.split(",").map((range) => {
      const [from = "", to = from] = range.split(":");
      return { from: number(from, text), to: number(to, text) };
    });
    return { start, steps, ranges };
  });
}

/** `u32_match_it`: reads past the end never hold. */
export function u32Holds(test: U32Test, packet: Uint8Array): boolean {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const read = (at: number): number | null => (at + 4 <= packet.length ? view.getUint32(at) : null);
  let base = 0;
  let value = read(test.start);
  for (const { operator, operand } of test.steps) {
    if (value === null) return false;
    switch (operator) {
      case "&":
        value = (value & operand) >>> 0;
        break;
      case "<<":
        value = (value << operand) >>> 0;
        break;
      case ">>":
        value >>>= operand;
        break;
      case "@":
        base += value;
        value = read(base + operand);
        break;
    }
  }
  const reached = value;
  return reached !== null && test.ranges.some((range) => reached >= range.from && reached <= range.to);
}

function number(text: string, whole: string): number {
  if (!/^(0x[0-9a-fA-F]{1,8}|\d{1,10})$/.test(text)) throw new Error(`no u32 test: ${whole}`);
  return Number(text);
}
