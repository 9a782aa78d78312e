import { parseBlock } from "./address-block.js";
import { protocolNumber } from "./kernel-set.js";
import type { Match, NumberRange } from "./match.js";
import { tcpFlagBits } from "./traced-packet.js";
import { parseU32 } from "./u32.js";

type Target =
  | { readonly kind: "accept" | "drop" | "return" }
  | { readonly kind: "reject"; readonly with: string | null }
  | { readonly kind: "log"; readonly prefix: string; readonly group: number }
  | { readonly kind: "jump" | "goto"; readonly chain: string };

export interface TracedRule {
  readonly matches: readonly Match[];
  /** null: the rule counts and does nothing. */
  readonly target: Target | null;
  readonly comments: readonly string[];
}

/** Matches that a protocol brings by itself when one of its options is used without `-m`. */
const matchOfProtocol: ReadonlyMap<number, string> = new Map([
  [6, "tcp"],
  [17, "udp"],
  [132, "sctp"],
  [33, "dccp"],
  [1, "icmp"],
  [58, "icmp6"],
]);
const portMatches = new Set(["tcp", "udp", "sctp", "dccp"]);
const basicKinds = ["address", "interface", "protocol", "later-fragment"];

/** The words of one rule after the chain's name. Throws on every option that it does not know: it never guesses. */
export function parseRule(words: readonly string[], family: 4 | 6): TracedRule {
  return new RuleReader(words, family).read();
}

class RuleReader {
  readonly #words: readonly string[];
  readonly #family: 4 | 6;
  #position = 0;
  #negated = false;
  #protocol: number | null = null;
  readonly #loaded = new Set<string>();
  readonly #matches: Match[] = [];
  readonly #comments: string[] = [];
  #conntrack: (Match & { kind: "conntrack" }) | null = null;
  #policy: { direction: "in" | "out" | null; ipsec: boolean | null } | null = null;
  #limited = false;
  #jump: { kind: "jump" | "goto"; name: string } | null = null;
  #rejectWith: string | null = null;
  #log: { prefix: string; group: number } = { prefix: "", group: 0 };

  constructor(words: readonly string[], family: 4 | 6) {
    this.#words = words;
    this.#family = family;
  }

  read(): TracedRule {
    while (this.#position < this.#words.length) {
      const word = this.#next();
      if (word === "!") {
        if (this.#negated) throw this.#complaint("two exclamation marks");
        this.#negated = true;
        continue;
      }
      this.#option(word);
      if (this.#negated) throw this.#complaint(`${word} cannot be negated`);
    }
    if (this.#conntrack !== null) this.#matches.push(this.#conntrack);
    this.#closePolicy();
    if (this.#limited) this.#matches.push({ kind: "limit" });
    const target = this.#target();
    const basics = this.#matches.filter((match) => basicKinds.includes(match.kind));
    const others = this.#matches.filter((match) => !basicKinds.includes(match.kind));
    return { matches: [...basics, ...others], target, comments: this.#comments };
  }

  #option(word: string): void {
    switch (word) {
      case "-i":
      case "--in-interface":
        this.#matches.push({ kind: "interface", side: "in", name: this.#next(), negated: this.#negation() });
        return;
      case "-o":
      case "--out-interface":
        this.#matches.push({ kind: "interface", side: "out", name: this.#next(), negated: this.#negation() });
        return;
      case "-s":
      case "--source":
        this.#address("src");
        return;
      case "-d":
      case "--destination":
        this.#address("dst");
        return;
      case "-p":
      case "--protocol":
        this.#protocol = protocolNumber(this.#next());
        this.#matches.push({ kind: "protocol", number: this.#protocol, negated: this.#negated });
        if (this.#negation()) this.#protocol = null;
        return;
      case "-f":
      case "--fragment":
        if (this.#family === 6) throw this.#complaint("-f is for IPv4");
        this.#matches.push({ kind: "later-fragment", negated: this.#negation() });
        return;
      case "-m":
      case "--match":
        this.#load(this.#next());
        return;
      case "-j":
      case "--jump":
        this.#setJump("jump");
        return;
      case "-g":
      case "--goto":
        this.#setJump("goto");
        return;
      default:
        if (this.#jump !== null && this.#targetOption(word)) return;
        this.#matchOption(word);
    }
  }

  #load(name: string): void {
    switch (name) {
      case "tcp":
      case "udp":
      case "sctp":
      case "dccp":
      case "icmp":
      case "icmp6":
        if (this.#protocol === null || matchOfProtocol.get(this.#protocol) !== name) {
          throw this.#complaint(`-m ${name} without its protocol`);
        }
        if ((name === "icmp") !== (this.#family === 4) && name.startsWith("icmp")) {
          throw this.#complaint(`-m ${name} in IPv${this.#family}`);
        }
        break;
      case "multiport":
        if (this.#protocol === null || ![6, 17, 33, 132, 136].includes(this.#protocol)) {
          throw this.#complaint("-m multiport without a protocol that has ports");
        }
        break;
      case "hl":
      case "ttl":
        if ((name === "hl") !== (this.#family === 6))
          throw this.#complaint(`-m ${name} in IPv${this.#family}`);
        break;
      case "conntrack":
        if (this.#conntrack !== null) this.#matches.push(this.#conntrack);
        this.#conntrack = emptyConntrack;
        break;
      case "policy":
        this.#policy ??= { direction: null, ipsec: null };
        break;
      case "limit":
        this.#limited = true;
        break;
      case "ah":
        // Of IPv4 it reads the index of the association; of IPv6, without options, only whether the header is there.
        if (this.#family === 4) throw this.#complaint("-m ah in IPv4");
        this.#matches.push({ kind: "authentication" });
        break;
      case "u32":
      case "set":
      case "connmark":
      case "comment":
        break;
      default:
        throw this.#complaint(`a match that is not known: ${name}`);
    }
    this.#loaded.add(name);
  }

  #matchOption(word: string): void {
    switch (word) {
      case "--sport":
      case "--source-port":
      case "--dport":
      case "--destination-port": {
        this.#need(portMatches);
        const side = word === "--sport" || word === "--source-port" ? "src" : "dst";
        const ranges = [portRange(this.#next())];
        const whole = ranges[0]?.from === 0 && ranges[0].to === 65535;
        // iptables-nft drops the condition without a word, so that the rule matches every port (seen with 1.8.9).
        if (whole && this.#negated) throw this.#complaint("no port at all");
        const payload = !whole && (this.#protocol === 6 || this.#protocol === 17);
        this.#matches.push({ kind: "ports", side, ranges, negated: this.#negation(), payload });
        return;
      }
      case "--sports":
      case "--source-ports":
      case "--dports":
      case "--destination-ports":
      case "--ports": {
        this.#need(new Set(["multiport"]));
        const side = word === "--ports" ? "either" : word.startsWith("--s") ? "src" : "dst";
        const ranges = multiport(this.#next());
        this.#matches.push({ kind: "ports", side, ranges, negated: this.#negation(), payload: false });
        return;
      }
      case "--icmp-type":
      case "--icmpv6-type":
        this.#icmp(word);
        return;
      case "--tcp-flags": {
        this.#need(new Set(["tcp"]));
        const mask = flagBits(this.#next());
        const set = flagBits(this.#next());
        this.#matches.push({ kind: "tcp-flags", mask, set, negated: this.#negation() });
        return;
      }
      case "--syn":
        this.#need(new Set(["tcp"]));
        this.#matches.push({ kind: "tcp-flags", mask: 0x17, set: 0x02, negated: this.#negation() });
        return;
      case "--match-set": {
        this.#need(new Set(["set"]));
        const name = this.#next();
        const sides = this.#next().split(",").map(side);
        this.#matches.push({ kind: "set", name, sides, negated: this.#negation() });
        return;
      }
      case "--u32":
        this.#need(new Set(["u32"]));
        this.#matches.push({ kind: "u32", tests: parseU32(this.#next()), negated: this.#negation() });
        return;
      case "--mark": {
        this.#need(new Set(["connmark"]));
        const [value = "", mask = "0xffffffff"] = this.#next().split("/", 2);
        const negated = this.#negation();
        this.#matches.push({ kind: "connmark", value: unsigned(value), mask: unsigned(mask), negated });
        return;
      }
      case "--hl-eq":
      case "--hl-lt":
      case "--hl-gt":
      case "--ttl-eq":
      case "--ttl-lt":
      case "--ttl-gt": {
        this.#need(new Set([word.slice(2, word.lastIndexOf("-"))]));
        const relation = word.endsWith("eq") ? "eq" : word.endsWith("lt") ? "lt" : "gt";
        const value = bounded(this.#next(), 255);
        const negated = this.#negation();
        this.#matches.push({ kind: "hop-limit", family: this.#family, relation, value, negated });
        return;
      }
      case "--dir":
        this.#policyPart().direction = direction(this.#next());
        return;
      case "--pol":
        this.#policyPart().ipsec = ipsecWord(this.#next());
        return;
      case "--limit":
        this.#need(new Set(["limit"]));
        if (!/^\d+\/(s|sec|second|m|min|minute|h|hour|d|day)$/.test(this.#next())) {
          throw this.#complaint("no rate");
        }
        return;
      case "--limit-burst":
        this.#need(new Set(["limit"]));
        bounded(this.#next(), 10000);
        return;
      case "--comment": {
        this.#need(new Set(["comment"]));
        const comment = this.#next();
        if (Buffer.byteLength(comment) > 255) throw this.#complaint("a comment over 255 bytes");
        this.#comments.push(comment);
        return;
      }
      default:
        this.#conntrackOption(word);
    }
  }

  #conntrackOption(word: string): void {
    const conntrack = this.#conntrack;
    if (conntrack === null) throw this.#complaint(`an option that is not known: ${word}`);
    const value = this.#next();
    const negated = this.#negation();
    switch (word) {
      case "--ctstate":
        this.#conntrack = { ...conntrack, states: { names: oneOf(value, conntrackStates), negated } };
        return;
      case "--ctstatus":
        this.#conntrack = { ...conntrack, status: { names: oneOf(value, conntrackStatus), negated } };
        return;
      case "--ctdir":
        if (negated || (value !== "ORIGINAL" && value !== "REPLY"))
          throw this.#complaint(`no direction: ${value}`);
        this.#conntrack = { ...conntrack, direction: value };
        return;
      case "--ctorigdst":
        this.#conntrack = { ...conntrack, originalDestination: { block: parseBlock(value), negated } };
        return;
      case "--ctorigdstport":
        this.#conntrack = { ...conntrack, originalDestinationPort: { range: portRange(value), negated } };
        return;
      default:
        throw this.#complaint(`an option that is not known: ${word}`);
    }
  }

  #targetOption(word: string): boolean {
    const name = this.#jump?.name;
    if (word === "--reject-with" && name === "REJECT") this.#rejectWith = this.#next();
    else if (word === "--nflog-group" && name === "NFLOG") this.#log.group = bounded(this.#next(), 65535);
    else if (word === "--nflog-prefix" && name === "NFLOG") this.#log.prefix = this.#next();
    else if (/^--nflog-(threshold|size|range)$/.test(word) && name === "NFLOG") this.#next();
    else return false;
    // xt_NFLOG keeps 64 bytes with the closing zero, and iptables cuts the rest in silence.
    if (Buffer.byteLength(this.#log.prefix) > 63) throw this.#complaint("an NFLOG prefix over 63 bytes");
    return true;
  }

  #target(): Target | null {
    if (this.#jump === null) return null;
    const { kind, name } = this.#jump;
    if (kind === "goto") return { kind, chain: name };
    switch (name) {
      case "ACCEPT":
        return { kind: "accept" };
      case "DROP":
        return { kind: "drop" };
      case "RETURN":
        return { kind: "return" };
      case "REJECT":
        if (this.#rejectWith === "tcp-reset" && this.#protocol !== 6) {
          throw this.#complaint("tcp-reset without -p tcp");
        }
        return { kind: "reject", with: this.#rejectWith };
      case "NFLOG":
        return { kind: "log", ...this.#log };
      default:
        // Targets of the kernel are in capitals; a chain may be too, so that its existence is looked at later.
        return { kind: "jump", chain: name };
    }
  }

  #address(side: "src" | "dst"): void {
    const words = this.#next();
    if (words.includes(",")) throw this.#complaint("several addresses in one rule");
    const block = parseBlock(words);
    if (block.family !== this.#family) throw this.#complaint(`not of IPv${this.#family}: ${words}`);
    this.#matches.push({ kind: "address", side, block, negated: this.#negation() });
  }

  #icmp(word: string): void {
    if ((word === "--icmp-type") !== (this.#family === 4))
      throw this.#complaint(`${word} in IPv${this.#family}`);
    this.#need(new Set(["icmp", "icmp6"]));
    const value = this.#next();
    const [type = "", code] = value.split("/", 2);
    const negated = this.#negation();
    this.#matches.push({
      kind: "icmp",
      family: this.#family,
      type: value === "any" && this.#family === 4 ? 255 : bounded(type, 255),
      codes: code === undefined ? { from: 0, to: 255 } : { from: bounded(code, 255), to: bounded(code, 255) },
      negated,
    });
  }

  #setJump(kind: "jump" | "goto"): void {
    if (this.#jump !== null) throw this.#complaint("two targets");
    this.#jump = { kind, name: this.#next() };
  }

  #policyPart(): { direction: "in" | "out" | null; ipsec: boolean | null } {
    if (this.#policy === null) throw this.#complaint("--dir or --pol without -m policy");
    return this.#policy;
  }

  #closePolicy(): void {
    if (this.#policy === null) return;
    const { direction, ipsec } = this.#policy;
    if (direction === null || ipsec === null) throw this.#complaint("-m policy needs --dir and --pol");
    this.#matches.push({ kind: "policy", direction, ipsec });
  }

  /** An option needs its match: loaded by -m, or brought by the protocol. */
  #need(names: ReadonlySet<string>): void {
    for (const name of names) if (this.#loaded.has(name)) return;
    const brought = this.#protocol === null ? undefined : matchOfProtocol.get(this.#protocol);
    if (brought === undefined || !names.has(brought)) {
      throw this.#complaint(`an option without its match: ${[...names].join(" or ")}`);
    }
    this.#load(brought);
  }

  #negation(): boolean {
    const negated = this.#negated;
    this.#negated = false;
    return negated;
  }

  #next(): string {
    const word = this.#words[this.#position];
    if (word === undefined) throw this.#complaint("it ends too early");
    this.#position += 1;
    return word;
  }

  #complaint(what: string): Error {
    return new Error(`${what}, in the rule: ${this.#words.join(" ")}`);
  }
}

const conntrackStates = new Set(["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"]);
const conntrackStatus = new Set(["NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"]);
const emptyConntrack: Match & { kind: "conntrack" } = {
  kind: "conntrack",
  states: null,
  direction: null,
  originalDestination: null,
  originalDestinationPort: null,
  status: null,
};

function oneOf(value: string, known: ReadonlySet<string>): ReadonlySet<string> {
  const names = value.split(",");
  const strange = names.find((name) => !known.has(name));
  if (strange !== undefined) throw new Error(`a name that is not known: ${strange}`);
  return new Set(names);
}

function side(word: string): "src" | "dst" {
  if (word === "src" || word === "dst") return word;
  throw new Error(`neither src nor dst: ${word}`);
}

function direction(word: string): "in" | "out" {
  if (word === "in" || word === "out") return word;
  throw new Error(`neither in nor out: ${word}`);
}

function ipsecWord(word: string): boolean {
  if (word === "ipsec" || word === "none") return word === "ipsec";
  throw new Error(`neither ipsec nor none: ${word}`);
}

function portRange(text: string): NumberRange {
  const [from = "", to] = text.split(":", 2);
  const range = {
    from: from === "" && to !== undefined ? 0 : bounded(from, 65535),
    to: to === undefined ? bounded(from, 65535) : to === "" ? 65535 : bounded(to, 65535),
  };
  if (range.from > range.to) throw new Error(`a reversed range: ${text}`);
  return range;
}

/** At most 15 slots, two to a range (XT_MULTI_PORTS). */
function multiport(text: string): readonly NumberRange[] {
  const ranges = text.split(",").map(portRange);
  const slots = text.split(",").reduce((sum, part) => sum + (part.includes(":") ? 2 : 1), 0);
  if (slots > 15) throw new Error(`more than 15 ports: ${text}`);
  return ranges;
}

function flagBits(text: string): number {
  if (text === "NONE") return 0;
  if (text === "ALL") return 0x3f;
  return text.split(",").reduce((bits, name) => {
    const bit = tcpFlagBits[name];
    if (bit === undefined) throw new Error(`no TCP flag: ${name}`);
    return bits | bit;
  }, 0);
}

function bounded(text: string, maximum: number): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > maximum)
    throw new Error(`no number up to ${maximum}: ${text}`);
  return Number(text);
}

function unsigned(text: string): number {
  if (!/^(0x[0-9a-fA-F]{1,8}|\d{1,10})$/.test(text) || Number(text) > 0xffffffff) {
    throw new Error(`no 32-bit number: ${text}`);
  }
  return Number(text);
}

/** Equal for two rules that iptables takes for the same (`-D` by text): the order of `-s -d -i -o -p` counts for nothing. */
export function identityOf(rule: TracedRule): string {
  const basic = (match: Match): boolean => basicKinds.includes(match.kind);
  const text = (part: unknown): string =>
    JSON.stringify(part, (_key, value: unknown) => {
      if (value instanceof Set) return [...value].sort();
      return value instanceof Uint8Array ? [...value] : value;
    });
  const basics = rule.matches.filter(basic).map(text).sort();
  return text([basics, rule.matches.filter((match) => !basic(match)), rule.comments, rule.target]);
}
