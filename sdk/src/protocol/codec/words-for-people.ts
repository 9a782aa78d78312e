/** The text, or its beginning and `…` when it has more than so many bytes; a character is never cut. */
export function shorten(text: string, maxBytes: number): string {
  const whole = text.toWellFormed();
  if (Buffer.byteLength(whole, "utf8") <= maxBytes) return whole;
  const { read } = new TextEncoder().encodeInto(whole, new Uint8Array(maxBytes - ellipsisBytes));
  return `${whole.slice(0, read)}…`;
}

const ellipsisBytes = 3;
