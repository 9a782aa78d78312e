import {
  type AliasEvent,
  EVENT_ID,
  type Event,
  getScalarValue,
  parseEvents,
  SCALAR_STYLE,
  type ScalarEvent,
  YAMLException,
} from "js-yaml";
import { quote } from "./address.js";
import type { DocumentSink } from "./document-sink.js";
import { policyLimits } from "./limits.js";
import { isWellFormed, unpaired } from "./printable.js";

/**
 * One YAML 1.2 document as events. Plain scalars mean what the core schema says (10.3.2); a number keeps its text. Aliases
 * are followed, up to a number of nodes; there are no merge keys, no tags but `!!str`, and no keys that are not texts.
 *
 * The parser's events are read directly: no value is built that a check would come too late for.
 *
 * @returns null, or what is wrong with the document as a whole.
 */
export function readYaml(source: string, sink: DocumentSink): string | null {
  if (guessNodes(source) > policyLimits.yamlNodes) {
    return `has more than ${policyLimits.yamlNodes} entries, too many for YAML; write it as JSON`;
  }
  let events: readonly Event[];
  try {
    events = parseEvents(source, { maxDepth: policyLimits.depth });
  } catch (reason) {
    return describe(reason);
  }
  const documents = events.filter((event) => event.type === EVENT_ID.DOCUMENT).length;
  if (documents === 0) return "the document is empty";
  if (documents > 1) return `holds ${documents} documents; a policy is one`;
  return new EventReader(source, events, sink).read();
}

/** From above: every node but the first takes a separator of its own. Costs a pass, and saves a parser from a bomb. */
function guessNodes(source: string): number {
  let count = 0;
  for (let at = 0; at < source.length; at++) {
    switch (source.charCodeAt(at)) {
      case 0x0a: // line feed
      case 0x0d: // carriage return
      case 0x2c: // ,
      case 0x5b: // [
      case 0x7b: // {
        count++;
        break;
      case 0x2d: // -
      case 0x3a: // :
      case 0x3f: // ?
        if (source.charCodeAt(at + 1) <= 0x20) count++;
    }
  }
  return count;
}

interface Container {
  readonly kind: "map" | "list" | "document";
  readonly anchor: string | null;
  readonly start: number;
  /** Of a map: the next node is a key. */
  atKey: boolean;
}

interface Anchor {
  readonly start: number;
  /** After the last event of the node. */
  readonly end: number;
}

class EventReader {
  readonly #source: string;
  readonly #events: readonly Event[];
  readonly #sink: DocumentSink;
  readonly #anchors = new Map<string, Anchor>();
  /** What each alias, by the index of its event, stands for. */
  readonly #aliases = new Map<number, Anchor>();
  readonly #stack: Container[] = [];
  readonly #scratch = Buffer.alloc(policyLimits.textBytes);
  #aliasNodes = 0;
  #failure: string | null = null;

  constructor(source: string, events: readonly Event[], sink: DocumentSink) {
    this.#source = source;
    this.#events = events;
    this.#sink = sink;
  }

  read(): string | null {
    this.#replay(0, this.#events.length, false);
    return this.#failure;
  }

  #replay(start: number, end: number, isReplay: boolean): void {
    for (let at = start; at < end && this.#failure === null; at++) {
      const event = this.#events[at] as Event;
      if (isReplay && ++this.#aliasNodes > policyLimits.yamlAliasNodes) {
        this.#failure = `aliases stand for more than ${policyLimits.yamlAliasNodes} nodes; write out what they stand for`;
        return;
      }
      switch (event.type) {
        case EVENT_ID.DOCUMENT:
          this.#stack.push({ kind: "document", anchor: null, start: at, atKey: false });
          break;
        case EVENT_ID.SEQUENCE:
        case EVENT_ID.MAPPING:
          this.#begin(event, at);
          break;
        case EVENT_ID.SCALAR:
          this.#scalar(event, at);
          break;
        case EVENT_ID.ALIAS:
          this.#alias(event, at, isReplay);
          break;
        case EVENT_ID.POP:
          this.#end(at);
      }
    }
  }

  #begin(event: Event & { type: typeof EVENT_ID.SEQUENCE | typeof EVENT_ID.MAPPING }, at: number): void {
    const kind = event.type === EVENT_ID.MAPPING ? "map" : "list";
    if (this.#stack.at(-1)?.atKey === true) {
      this.#fail(event.start, "a key is a text, not a list or a map");
      return;
    }
    if (this.#stack.length > policyLimits.depth) {
      this.#fail(event.start, "aliases nest too deep");
      return;
    }
    if (event.tagStart >= 0) {
      this.#fail(event.tagStart, "tags have no meaning in a policy; leave them out");
      return;
    }
    this.#stack.push({
      kind,
      anchor: this.#name(event.anchorStart, event.anchorEnd),
      start: at,
      atKey: kind === "map",
    });
    if (kind === "map") this.#sink.beginMap();
    else this.#sink.beginList();
  }

  #end(at: number): void {
    const container = this.#stack.pop();
    if (container === undefined || container.kind === "document") return;
    if (container.kind === "map") this.#sink.endMap();
    else this.#sink.endList();
    if (container.anchor !== null)
      this.#anchors.set(container.anchor, { start: container.start, end: at + 1 });
    this.#toggle();
  }

  #scalar(event: ScalarEvent, at: number): void {
    const anchor = this.#name(event.anchorStart, event.anchorEnd);
    if (anchor !== null) this.#anchors.set(anchor, { start: at, end: at + 1 });
    const value = event.valueStart < 0 ? "" : getScalarValue(this.#source, event);
    const tag = event.tagStart < 0 ? null : this.#source.slice(event.tagStart, event.tagEnd);
    if (tag !== null && tag !== "!!str" && tag !== "!") {
      this.#fail(event.tagStart, "tags have no meaning in a policy; leave them out");
      return;
    }
    const plain = tag === null && event.style === SCALAR_STYLE.PLAIN;
    const kind = plain ? resolvePlain(value) : "text";
    if (this.#stack.at(-1)?.atKey === true) this.#key(kind, value);
    else this.#value(kind, value);
    this.#toggle();
  }

  #key(kind: ScalarKind, value: string): void {
    if (kind !== "text") {
      this.#sink.misfitKey(
        value,
        `this key is ${kind === "null" ? "empty" : `a ${kind}`}; write it in quotes`,
      );
    } else if (!isWellFormed(value)) this.#sink.misfitKey(value, unpaired);
    else {
      const length = this.#encode(value);
      this.#sink.key(
        this.#scratch,
        0,
        Math.min(length, this.#scratch.length),
        length <= this.#scratch.length,
      );
    }
  }

  #value(kind: ScalarKind, value: string): void {
    if (kind === "number") this.#sink.number(value);
    else if (kind === "boolean") this.#sink.boolean(value.toLowerCase() === "true");
    else if (kind === "null") this.#sink.nothing();
    else if (!isWellFormed(value)) this.#sink.misfit(unpaired);
    else {
      const length = this.#encode(value);
      this.#sink.text(
        this.#scratch,
        0,
        Math.min(length, this.#scratch.length),
        length <= this.#scratch.length,
      );
    }
  }

  /** The bytes the text has; as many as there is room for are written. */
  #encode(value: string): number {
    const length = value.length * 3 > this.#scratch.length ? Buffer.byteLength(value, "utf8") : 0;
    const written = this.#scratch.write(value, "utf8");
    return Math.max(length, written);
  }

  /** What an alias stands for is settled where it stands, whatever its anchor's name is given to later. */
  #alias(event: AliasEvent, at: number, isReplay: boolean): void {
    if (!isReplay) {
      const name = this.#source.slice(event.anchorStart, event.anchorEnd);
      const anchor = this.#anchors.get(name);
      const isOpen = this.#stack.some((container) => container.anchor === name);
      if (isOpen) this.#fail(event.anchorStart, `the alias ${quote(name)} stands inside what it stands for`);
      else if (anchor === undefined)
        this.#fail(event.anchorStart, `there is no anchor for the alias ${quote(name)}`);
      else this.#aliases.set(at, anchor);
    }
    const target = this.#aliases.get(at);
    if (target !== undefined && this.#failure === null) this.#replay(target.start, target.end, true);
  }

  /** A node of a map is over: a value follows a key, a key follows a value. */
  #toggle(): void {
    const container = this.#stack.at(-1);
    if (container?.kind === "map") container.atKey = !container.atKey;
  }

  #name(start: number, end: number): string | null {
    return start < 0 ? null : this.#source.slice(start, end);
  }

  #fail(position: number, reason: string): void {
    const before = this.#source.slice(0, position);
    const line = before.split("\n").length;
    this.#failure ??= `line ${line}, column ${position - before.lastIndexOf("\n")}: ${reason}`;
  }
}

type ScalarKind = "text" | "number" | "boolean" | "null";

/** YAML 1.2, 10.3.2: integers in three bases, floats, infinities and what is not a number. */
const number =
  /^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;

function resolvePlain(value: string): ScalarKind {
  if (/^(?:|~|null|Null|NULL)$/.test(value)) return "null";
  if (/^(?:true|True|TRUE|false|False|FALSE)$/.test(value)) return "boolean";
  return number.test(value) ? "number" : "text";
}

function describe(reason: unknown): string {
  if (!(reason instanceof YAMLException))
    return `is not YAML: ${reason instanceof Error ? reason.message : String(reason)}`;
  const { mark } = reason;
  const where = mark === undefined ? "" : `line ${mark.line + 1}, column ${mark.column + 1}: `;
  return `${where}${reason.reason}`;
}
