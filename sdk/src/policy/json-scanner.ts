import type { DocumentSink } from "./document-sink.js";
import { policyLimits } from "./limits.js";
import { unpaired } from "./printable.js";

type State =
  | "value" // a value must follow
  | "first-item" // after `[`: a value or `]`
  | "first-key" // after `{`: a key or `}`
  | "key" // after `,` in a map
  | "colon"
  | "after" // after a value: `,` or the end of the container
  | "string"
  | "escape"
  | "unicode"
  | "number"
  | "literal"
  | "done";

/** Where a number stands in the grammar of RFC 8259, section 6. */
type NumberState = "minus" | "zero" | "integer" | "point" | "fraction" | "e" | "sign" | "exponent";

const [quotation, backslash, minus, newline] = [0x22, 0x5c, 0x2d, 0x0a];

/** Single-character escapes (RFC 8259, section 7), by the byte after the backslash. */
const escapes = new Map<number, number>(
  Object.entries({ '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" }).map(
    ([letter, character]) => [letter.charCodeAt(0), character.charCodeAt(0)],
  ),
);

const literals: ReadonlyMap<number, string> = new Map([
  [0x74, "true"],
  [0x66, "false"],
  [0x6e, "null"],
]);

/**
 * A JSON text (RFC 8259, strict) in chunks of any size, as events. Its memory does not depend on the document's. On top of
 * the RFC: UTF-8 only, no unpaired surrogates, bounded nesting and lengths of texts. Duplicate keys are the sink's matter.
 */
export class JsonScanner {
  readonly #sink: DocumentSink;
  #state: State = "value";
  /** 1: map, 0: list; by depth. */
  readonly #containers = new Uint8Array(policyLimits.depth);
  #depth = 0;

  /** The text in hand, when it does not lie in one chunk as it is. */
  readonly #scratch = new Uint8Array(policyLimits.textBytes);
  #length = 0;
  #complete = true;
  #isKey = false;
  /** Continuation bytes that the UTF-8 sequence in hand still needs, and the bounds of the next (RFC 3629, section 4). */
  #continuations = 0;
  #lowest = 0x80;
  #highest = 0xbf;
  #unicode = 0;
  #unicodeDigits = 0;
  #highSurrogate = 0;

  #number: NumberState = "minus";
  #literal = "";

  /** Position of the current chunk in the document, and of the current line. */
  #offset = 0;
  #line = 1;
  #lineStart = 0;
  #failure: string | null = null;

  constructor(sink: DocumentSink) {
    this.#sink = sink;
  }

  /** Scans on. null: fine so far; else what is wrong, with line and column; the scanner is of no use then. */
  push(chunk: Uint8Array): string | null {
    let at = 0;
    while (at < chunk.length && this.#failure === null) at = this.#step(chunk, at);
    this.#offset += chunk.length;
    return this.#failure;
  }

  /** The document ends here. null: it is whole. */
  end(): string | null {
    if (this.#failure !== null) return this.#failure;
    if (this.#state === "number") this.#endNumber(0);
    if (this.#failure === null && this.#state !== "done") this.#fail(0, "the document ends too early");
    return this.#failure;
  }

  /** Takes what it can from `at` on, and gives the position of what it did not. */
  #step(chunk: Uint8Array, at: number): number {
    switch (this.#state) {
      case "string":
        return this.#scanString(chunk, at);
      case "escape":
        return this.#scanEscape(chunk, at);
      case "unicode":
        return this.#scanUnicode(chunk, at);
      case "number":
        return this.#scanNumber(chunk, at);
      case "literal":
        return this.#scanLiteral(chunk, at);
      default:
        return this.#scanStructure(chunk, at);
    }
  }

  #scanStructure(chunk: Uint8Array, at: number): number {
    const byte = chunk[at] as number;
    if (byte === 0x20 || byte === newline || byte === 0x0d || byte === 0x09) {
      if (byte === newline) {
        this.#line++;
        this.#lineStart = this.#offset + at + 1;
      }
      return at + 1;
    }
    switch (this.#state) {
      case "first-key":
        if (byte === 0x7d) return this.#close(at, 1);
        if (byte === quotation) return this.#beginString(chunk, at, true);
        return this.#unexpected(chunk, at, "a key in double quotes or `}`");
      case "key":
        if (byte === quotation) return this.#beginString(chunk, at, true);
        return this.#unexpected(chunk, at, "a key in double quotes");
      case "colon":
        if (byte !== 0x3a) return this.#unexpected(chunk, at, "`:`");
        this.#state = "value";
        return at + 1;
      case "after":
        return this.#scanAfter(chunk, at, byte);
      case "first-item":
        return byte === 0x5d ? this.#close(at, 0) : this.#beginValue(chunk, at, byte);
      case "done":
        return this.#unexpected(chunk, at, "nothing after the document");
      default:
        return this.#beginValue(chunk, at, byte);
    }
  }

  #scanAfter(chunk: Uint8Array, at: number, byte: number): number {
    const inMap = this.#containers[this.#depth - 1] === 1;
    if (byte === 0x2c) {
      this.#state = inMap ? "key" : "value";
      return at + 1;
    }
    if (byte === (inMap ? 0x7d : 0x5d)) return this.#close(at, inMap ? 1 : 0);
    return this.#unexpected(chunk, at, inMap ? "`,` or `}`" : "`,` or `]`");
  }

  #beginValue(chunk: Uint8Array, at: number, byte: number): number {
    if (byte === quotation) return this.#beginString(chunk, at, false);
    if (byte === 0x7b || byte === 0x5b) return this.#open(at, byte === 0x7b ? 1 : 0);
    if (byte === minus || isDigit(byte)) {
      this.#length = 0;
      this.#complete = true;
      this.#number = byte === minus ? "minus" : byte === 0x30 ? "zero" : "integer";
      this.#store(byte);
      this.#state = "number";
      return at + 1;
    }
    const literal = literals.get(byte);
    if (literal === undefined) return this.#unexpected(chunk, at, "a value");
    this.#literal = literal;
    this.#length = 1;
    this.#state = "literal";
    return at + 1;
  }

  #open(at: number, container: 0 | 1): number {
    if (this.#depth === policyLimits.depth) {
      return this.#fail(at, `is nested more than ${policyLimits.depth} levels deep`);
    }
    this.#containers[this.#depth++] = container;
    if (container === 1) this.#sink.beginMap();
    else this.#sink.beginList();
    this.#state = container === 1 ? "first-key" : "first-item";
    return at + 1;
  }

  #close(at: number, container: 0 | 1): number {
    this.#depth--;
    if (container === 1) this.#sink.endMap();
    else this.#sink.endList();
    this.#endValue();
    return at + 1;
  }

  #endValue(): void {
    this.#state = this.#depth === 0 ? "done" : "after";
  }

  /** Most texts are plain ASCII and lie in one chunk: they are handed on where they are. */
  #beginString(chunk: Uint8Array, at: number, isKey: boolean): number {
    this.#isKey = isKey;
    this.#length = 0;
    this.#complete = true;
    let end = at + 1;
    const limit = Math.min(chunk.length, at + 1 + policyLimits.textBytes);
    while (end < limit && isPlain(chunk[end] as number)) end++;
    if (end < limit && chunk[end] === quotation) {
      this.#endString(chunk, at + 1, end);
      return end + 1;
    }
    this.#scratch.set(chunk.subarray(at + 1, end));
    this.#length = end - at - 1;
    this.#state = "string";
    return end;
  }

  #scanString(chunk: Uint8Array, start: number): number {
    for (let at = start; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (this.#continuations > 0) {
        if (byte < this.#lowest || byte > this.#highest) return this.#fail(at, "is not UTF-8");
        this.#continuations--;
        this.#lowest = 0x80;
        this.#highest = 0xbf;
        this.#store(byte);
        continue;
      }
      if (this.#highSurrogate !== 0 && byte !== backslash) return this.#fail(at, unpaired);
      if (byte === quotation) {
        this.#endString(this.#scratch, 0, this.#length);
        return at + 1;
      }
      if (byte === backslash) {
        this.#state = "escape";
        return at + 1;
      }
      if (byte < 0x20) return this.#fail(at, "a text holds a control character; write it as an escape");
      if (byte >= 0x80 && !this.#beginSequence(byte)) return this.#fail(at, "is not UTF-8");
      this.#store(byte);
    }
    return chunk.length;
  }

  /** The first byte of a UTF-8 sequence (RFC 3629, section 4). */
  #beginSequence(byte: number): boolean {
    if (byte < 0xc2 || byte > 0xf4) return false;
    this.#continuations = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    if (byte === 0xe0) this.#lowest = 0xa0;
    if (byte === 0xed) this.#highest = 0x9f;
    if (byte === 0xf0) this.#lowest = 0x90;
    if (byte === 0xf4) this.#highest = 0x8f;
    return true;
  }

  #scanEscape(chunk: Uint8Array, at: number): number {
    const byte = chunk[at] as number;
    if (byte === 0x75) {
      this.#unicode = 0;
      this.#unicodeDigits = 0;
      this.#state = "unicode";
      return at + 1;
    }
    if (this.#highSurrogate !== 0) return this.#fail(at, unpaired);
    const character = escapes.get(byte);
    if (character === undefined) return this.#fail(at, "an unknown escape in a text");
    this.#store(character);
    this.#state = "string";
    return at + 1;
  }

  #scanUnicode(chunk: Uint8Array, at: number): number {
    const digit = Number.parseInt(String.fromCharCode(chunk[at] as number), 16);
    if (Number.isNaN(digit)) return this.#fail(at, "\\u must be followed by four hexadecimal digits");
    this.#unicode = this.#unicode * 16 + digit;
    if (++this.#unicodeDigits < 4) return at + 1;
    const unit = this.#unicode;
    const isLow = unit >= 0xdc00 && unit <= 0xdfff;
    if (isLow !== (this.#highSurrogate !== 0)) return this.#fail(at, unpaired);
    this.#state = "string";
    if (unit >= 0xd800 && unit <= 0xdbff) {
      this.#highSurrogate = unit;
      return at + 1;
    }
    this.#storePoint(isLow ? (this.#highSurrogate - 0xd800) * 0x400 + (unit - 0xdc00) + 0x10000 : unit);
    this.#highSurrogate = 0;
    return at + 1;
  }

  #endString(bytes: Uint8Array, start: number, end: number): void {
    if (this.#isKey) {
      this.#sink.key(bytes, start, end, this.#complete);
      this.#state = "colon";
    } else {
      this.#sink.text(bytes, start, end, this.#complete);
      this.#endValue();
    }
  }

  #scanNumber(chunk: Uint8Array, start: number): number {
    for (let at = start; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      const next = nextInNumber(this.#number, byte);
      if (next === null) return this.#endNumber(at) ? at : chunk.length;
      this.#number = next;
      this.#store(byte);
    }
    return chunk.length;
  }

  #endNumber(at: number): boolean {
    const whole = ["zero", "integer", "fraction", "exponent"].includes(this.#number);
    if (!whole) {
      this.#fail(at, "a number is not whole");
      return false;
    }
    const text = Buffer.from(this.#scratch.subarray(0, Math.min(this.#length, 400))).toString("latin1");
    this.#sink.number(text);
    this.#endValue();
    return true;
  }

  #scanLiteral(chunk: Uint8Array, at: number): number {
    if (chunk[at] !== this.#literal.charCodeAt(this.#length)) {
      return this.#unexpected(chunk, at, `\`${this.#literal}\``);
    }
    if (++this.#length < this.#literal.length) return at + 1;
    if (this.#literal === "null") this.#sink.nothing();
    else this.#sink.boolean(this.#literal === "true");
    this.#endValue();
    return at + 1;
  }

  #store(byte: number): void {
    if (this.#length < policyLimits.textBytes) this.#scratch[this.#length++] = byte;
    else this.#complete = false;
  }

  #storePoint(point: number): void {
    if (point < 0x80) this.#store(point);
    else if (point < 0x800) {
      this.#store(0xc0 | (point >> 6));
      this.#store(0x80 | (point & 0x3f));
    } else {
      if (point < 0x10000) this.#store(0xe0 | (point >> 12));
      else {
        this.#store(0xf0 | (point >> 18));
        this.#store(0x80 | ((point >> 12) & 0x3f));
      }
      this.#store(0x80 | ((point >> 6) & 0x3f));
      this.#store(0x80 | (point & 0x3f));
    }
  }

  #unexpected(chunk: Uint8Array, at: number, expected: string): number {
    const byte = chunk[at] as number;
    if (byte >= 0x80)
      return this.#fail(at, `expected ${expected}, found a byte that is not ASCII (0x${byte.toString(16)})`);
    return this.#fail(at, `expected ${expected}, found ${JSON.stringify(String.fromCharCode(byte))}`);
  }

  #fail(at: number, reason: string): number {
    const column = this.#offset + at - this.#lineStart + 1;
    this.#failure ??= `line ${this.#line}, column ${column}: ${reason}`;
    return at + 1;
  }
}

/** Neither the end of a text, nor an escape, a control character or the beginning of a UTF-8 sequence. */
function isPlain(byte: number): boolean {
  return byte >= 0x20 && byte < 0x80 && byte !== quotation && byte !== backslash;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** null: the byte does not belong to the number any more. */
function nextInNumber(state: NumberState, byte: number): NumberState | null {
  const digit = isDigit(byte);
  const exponent = byte === 0x65 || byte === 0x45;
  switch (state) {
    case "minus":
      return digit ? (byte === 0x30 ? "zero" : "integer") : null;
    case "zero":
      return byte === 0x2e ? "point" : exponent ? "e" : null;
    case "integer":
      return digit ? "integer" : byte === 0x2e ? "point" : exponent ? "e" : null;
    case "point":
      return digit ? "fraction" : null;
    case "fraction":
      return digit ? "fraction" : exponent ? "e" : null;
    case "e":
      return digit ? "exponent" : byte === minus || byte === 0x2b ? "sign" : null;
    case "sign":
    case "exponent":
      return digit ? "exponent" : null;
  }
}
