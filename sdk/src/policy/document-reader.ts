import { quote } from "./address.js";
import type { DocumentSink } from "./document-sink.js";
import { policyLimits } from "./limits.js";
import type { ProblemList } from "./problem-list.js";

/**
 * What may stand at one place of a document: the methods that are there are the types that are accepted. Problems go to
 * the reader, which knows the path of the value in hand.
 */
export interface Expectation {
  /** For messages: `a list of rules`. */
  readonly what: string;
  /** A text as UTF-8 bytes, valid during the call only; goes before `text`. */
  bytes?(bytes: Uint8Array, start: number, end: number): void;
  text?(value: string): void;
  /** As it is written. */
  number?(text: string): void;
  boolean?(value: boolean): void;
  map?(): MapExpectation;
  list?(): ListExpectation;
}

export interface MapExpectation {
  /** What may stand under this key. null: nothing; a problem was reported, or is, with `known`, when there are such. */
  key(name: string): Expectation | null;
  /** The keys there are, where they are fixed. */
  readonly known?: readonly string[];
  end(): void;
}

export interface ListExpectation {
  readonly item: Expectation;
  end(length: number): void;
}

interface Level {
  readonly map: MapExpectation | null;
  readonly list: ListExpectation | null;
  /** Keys seen so far, of a map. */
  readonly seen: Set<string> | null;
  key: string;
  index: number;
  /** What the key in hand may hold, of a map. */
  expected: Expectation | null;
}

/**
 * Holds events against expectations: types, unknown and duplicate keys, and the path of each problem are settled here,
 * once, for every form of a document. What nobody expects is skipped whole.
 */
export class DocumentReader implements DocumentSink {
  readonly #problems: ProblemList;
  readonly #root: Expectation;
  readonly #levels: Level[] = [];
  /** Depth inside a value that is skipped. */
  #skipping = 0;

  constructor(problems: ProblemList, root: (reader: DocumentReader) => Expectation) {
    this.#problems = problems;
    this.#root = root(this);
  }

  /** Reports a problem of the value in hand, or of a key below it. */
  problem(problem: string, key?: string): void {
    this.#problems.add(this.path(key), problem);
  }

  /** Of the value in hand, or of a key below it. */
  path(key?: string): string {
    let path = "";
    for (const level of this.#levels)
      path = level.map === null ? `${path}[${level.index}]` : pathOf(path, level.key);
    return key === undefined ? path : pathOf(path, key);
  }

  beginMap(): void {
    const expected = this.#begin();
    if (expected === null) return;
    if (expected.map === undefined) this.#skip(expected, "a map");
    else
      this.#levels.push({
        map: expected.map(),
        list: null,
        seen: new Set(),
        key: "",
        index: 0,
        expected: null,
      });
  }

  key(bytes: Uint8Array, start: number, end: number, complete: boolean): void {
    const level = this.#levels.at(-1);
    if (this.#skipping > 0 || level === undefined || level.map === null || level.seen === null) return;
    const name = decode(bytes, start, end);
    level.key = name;
    level.expected = null;
    if (!complete) {
      this.problem(`this key is longer than ${policyLimits.textBytes} bytes`);
    } else if (level.seen.has(name)) {
      this.problem("this key is there twice");
    } else {
      level.seen.add(name);
      level.expected = level.map.key(name);
      const { known } = level.map;
      if (level.expected === null && known !== undefined)
        this.problem(`unknown key; there are ${known.join(", ")}`);
    }
  }

  endMap(): void {
    if (this.#skipping > 0) {
      this.#skipping--;
      return;
    }
    // Off the stack first: what a map lacks or contradicts is a problem of the map, whose path that then is.
    this.#levels.pop()?.map?.end();
    this.#next();
  }

  beginList(): void {
    const expected = this.#begin();
    if (expected === null) return;
    if (expected.list === undefined) this.#skip(expected, "a list");
    else
      this.#levels.push({ map: null, list: expected.list(), seen: null, key: "", index: 0, expected: null });
  }

  endList(): void {
    if (this.#skipping > 0) {
      this.#skipping--;
      return;
    }
    const level = this.#levels.pop();
    level?.list?.end(level.index);
    this.#next();
  }

  text(bytes: Uint8Array, start: number, end: number, complete: boolean): void {
    const expected = this.#expected();
    if (expected !== null) {
      if (expected.bytes === undefined && expected.text === undefined) this.#misses(expected, "a text");
      else if (!complete) this.problem(`is longer than ${policyLimits.textBytes} bytes`);
      else if (expected.bytes !== undefined) expected.bytes(bytes, start, end);
      else expected.text?.(decode(bytes, start, end));
    }
    this.#next();
  }

  number(text: string): void {
    const expected = this.#expected();
    if (expected?.number !== undefined) expected.number(text);
    else if (expected !== null) this.#misses(expected, `the number ${quote(text).slice(1, -1)}`);
    this.#next();
  }

  boolean(value: boolean): void {
    const expected = this.#expected();
    if (expected?.boolean !== undefined) expected.boolean(value);
    else if (expected !== null) this.#misses(expected, String(value));
    this.#next();
  }

  nothing(): void {
    const expected = this.#expected();
    if (expected !== null) this.#misses(expected, "empty (null)");
    this.#next();
  }

  misfit(problem: string): void {
    if (this.#expected() !== null) this.problem(problem);
    this.#next();
  }

  /** A key that is no text: it is reported, and what stands under it is not looked at. */
  misfitKey(shown: string, problem: string): void {
    const level = this.#levels.at(-1);
    if (this.#skipping > 0 || level === undefined || level.map === null) return;
    level.key = shown;
    level.expected = null;
    this.problem(problem);
  }

  /** What may stand here; null: nothing that is looked at. */
  #expected(): Expectation | null {
    if (this.#skipping > 0) return null;
    const level = this.#levels.at(-1);
    if (level === undefined) return this.#root;
    return level.list === null ? level.expected : level.list.item;
  }

  #begin(): Expectation | null {
    const expected = this.#expected();
    if (expected === null) this.#skipping++;
    return expected;
  }

  #skip(expected: Expectation, found: string): void {
    this.#misses(expected, found);
    this.#skipping++;
  }

  #misses(expected: Expectation, found: string): void {
    this.problem(`is ${found}; expected ${expected.what}`);
  }

  /** A value is over. */
  #next(): void {
    const level = this.#levels.at(-1);
    if (this.#skipping === 0 && level !== undefined) level.index++;
  }
}

const plainKey = /^[\w-]+$/;

function pathOf(path: string, key: string): string {
  if (!plainKey.test(key)) return `${path}[${quote(key)}]`;
  return path === "" ? key : `${path}.${key}`;
}

/** The bytes are UTF-8: whoever made them checked. */
function decode(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("utf8");
}
