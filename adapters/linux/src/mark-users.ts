import type { OwnerRule } from "./owner-rules.js";

const everyBit = 0xffff_ffff;

/**
 * The rules that keep something of their own in a bit of the connection mark: they match it, or set it under a mask. A
 * rule that writes the whole mark (`CONNMARK --save-mark`) claims no bit: it overwrites the cut mark, which is then set
 * again and reported.
 */
export function markUsers<Rule extends Pick<OwnerRule, "text">>(
  rules: readonly Rule[],
  bit: number,
): readonly Rule[] {
  return rules.filter((rule) => claimedBits(rule.text).some((mask) => (mask & bit) >>> 0 !== 0));
}

/** Masks of the bits that one rule reads or sets; the whole mark with a value counts by the bits of the value. */
function claimedBits(text: string): readonly number[] {
  if (!/ -m connmark | -j CONNMARK /.test(text)) return [];
  const named = text.matchAll(
    / --(?:mark|set-xmark|set-mark|ctmask) (0x[0-9a-f]+|\d+)(?:\/(0x[0-9a-f]+|\d+))?(?= |$)/gi,
  );
  return [...named].map(([, value, mask]) => {
    const [bits, under] = [Number(value), Number(mask ?? everyBit)];
    return under === everyBit && bits !== everyBit ? bits : under === everyBit ? 0 : under;
  });
}
