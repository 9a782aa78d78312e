import { quote } from "../../policy/address.js";
import type { Version } from "../../policy/model.js";
import { ProblemList } from "../../policy/problem-list.js";

/** What a field may be in a decoded message. */
type Field<Value> = Value | null | undefined;

/**
 * Takes the fields of a decoded message, checks them, and collects what is wrong. After a problem a stand-in is handed out,
 * so that the other fields are checked too; `finish` throws before anyone sees it.
 */
export class FieldReader {
  readonly #operation: string;
  readonly #problems = new ProblemList();

  constructor(operation: string) {
    this.#operation = operation;
  }

  refuse(path: string, problem: string): void {
    this.#problems.add(path, problem);
  }

  /** @throws AntennaError `input-refused` with every problem. */
  finish<Value>(value: Value): Value {
    this.#problems.throwIfAny(this.#operation);
    return value;
  }

  /** A text as it is. */
  text(path: string, value: Field<string>, maxBytes: number): string {
    const text = value ?? "";
    if (Buffer.byteLength(text, "utf8") <= maxBytes) return text;
    this.refuse(path, `is longer than ${maxBytes} bytes`);
    return "";
  }

  /** A text that people read: what a terminal could act on is replaced. */
  words(path: string, value: Field<string>, maxBytes: number): string {
    return this.text(path, value, maxBytes).replace(unprintable, "\ufffd");
  }

  /** As `words`; null when it is empty. */
  optionalWords(path: string, value: Field<string>, maxBytes: number): string | null {
    const text = this.words(path, value, maxBytes);
    return text === "" ? null : text;
  }

  oneOf<Word extends string>(path: string, value: Field<string>, words: readonly [Word, ...Word[]]): Word {
    const found = words.find((word) => word === value);
    if (found === undefined) this.refuse(path, `is ${quote(value ?? "")}; one of ${words.join(", ")}`);
    return found ?? words[0];
  }

  /** A copy: what is kept holds on to no message. */
  bytes(path: string, value: Field<Uint8Array>, minBytes: number, maxBytes: number): Uint8Array {
    const bytes = value ?? noBytes;
    if (bytes.length >= minBytes && bytes.length <= maxBytes) return Uint8Array.from(bytes);
    const right = minBytes === maxBytes ? `${minBytes}` : `${minBytes} to ${maxBytes}`;
    this.refuse(path, `is ${bytes.length} bytes long; ${right} are right`);
    return noBytes;
  }

  /** A whole number; beyond 2^53-1 none is exact. */
  count(path: string, value: Field<number>, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
    const number = exactNumber(value);
    if (Number.isSafeInteger(number) && number >= min && number <= max) return number;
    this.refuse(
      path,
      `is ${number}; ${min} to ${max === Number.MAX_SAFE_INTEGER ? "2^53-1" : max} are right`,
    );
    return min;
  }

  list<Item, Out>(
    path: string,
    items: Field<readonly Item[]>,
    most: number,
    read: (item: Item, path: string) => Out,
  ): readonly Out[] {
    const list = items ?? [];
    if (list.length <= most) return list.map((item, index) => read(item, `${path}[${index}]`));
    this.refuse(path, `has ${list.length} entries; ${most} is the most`);
    return [];
  }

  version(
    path: string,
    value: Field<{ readonly epoch?: Field<number>; readonly sequence?: Field<number> }>,
  ): Version {
    if (value === null || value === undefined) this.refuse(path, "is missing");
    return {
      epoch: this.count(`${path}.epoch`, value?.epoch, 1),
      sequence: this.count(`${path}.sequence`, value?.sequence, 1),
    };
  }

  digest(path: string, value: Field<string>): string {
    const digest = value ?? "";
    if (!isDigest(digest))
      this.refuse(path, `is ${quote(digest)}; "sha256:" and 64 hexadecimal digits are right`);
    return digest;
  }
}

/** A 64-bit count comes as an object of the module `long` where that is installed, whatever its type says. */
export function exactNumber(value: Field<number>): number {
  return typeof value === "object" && value !== null ? Number(String(value)) : (value ?? 0);
}

export function isDigest(text: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}

const noBytes = new Uint8Array(0);
/** Line feeds stay: problems come one a line. */
const unprintable = /(?!\n)[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}]/gu;
