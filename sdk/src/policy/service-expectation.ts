import { quote } from "./address.js";
import type { DocumentReader, Expectation, ListExpectation, MapExpectation } from "./document-reader.js";
import { icmp, icmpv6, type PortRange, portProtocols, type Service } from "./model.js";
import { normaliseServices } from "./normalise.js";
import { normalisePorts, readPorts } from "./ports.js";
import { protocolName, protocolNumber } from "./protocol.js";

/** Counts what a policy holds besides members; false: no more is taken (the reader has reported it). */
export type TakeEntries = (count: number) => boolean;

/** A list that is brought into normal form whenever it has doubled, so that repetition costs no memory. */
class Compacting<Item> {
  readonly #compact: (items: readonly Item[]) => readonly Item[];
  #items: Item[] = [];
  #threshold = 1024;

  constructor(compact: (items: readonly Item[]) => readonly Item[]) {
    this.#compact = compact;
  }

  add(item: Item): void {
    this.#items.push(item);
    if (this.#items.length >= this.#threshold) {
      this.#items = [...this.#compact(this.#items)];
      this.#threshold = Math.max(1024, this.#items.length * 2);
    }
  }

  take(): readonly Item[] {
    const items = this.#compact(this.#items);
    this.#items = [];
    return items;
  }
}

/** `mayBeEmpty`: an empty list is nothing (enforce), or a mistake (services of a rule). */
export function expectServices(
  reader: DocumentReader,
  take: TakeEntries,
  mayBeEmpty: boolean,
  done: (services: readonly Service[]) => void,
): Expectation {
  return {
    what: "a list of services",
    list(): ListExpectation {
      const services = new Compacting(normaliseServices);
      return {
        item: expectService(reader, take, (service) => services.add(service)),
        end(length) {
          if (length === 0 && !mayBeEmpty) reader.problem("is empty; leave it out for every service");
          done(services.take());
        },
      };
    },
  };
}

export function expectService(
  reader: DocumentReader,
  take: TakeEntries,
  done: (service: Service) => void,
): Expectation & Required<Pick<Expectation, "map">> {
  return { what: "a service (a map)", map: () => new ServiceExpectation(reader, take, done) };
}

/** One service: `{ protocol, ports }` or `{ protocol, type, code }`. */
class ServiceExpectation implements MapExpectation {
  readonly known = ["protocol", "ports", "type", "code"];
  readonly #reader: DocumentReader;
  readonly #take: TakeEntries;
  readonly #done: (service: Service) => void;
  /** undefined: not given; null: given, and refused. */
  #protocol: number | null | undefined;
  #ports: readonly PortRange[] | null = null;
  #hasPorts = false;
  #type: number | null = null;
  #hasType = false;
  #code: number | null = null;
  #hasCode = false;

  constructor(reader: DocumentReader, take: TakeEntries, done: (service: Service) => void) {
    this.#reader = reader;
    this.#take = take;
    this.#done = done;
  }

  key(name: string): Expectation | null {
    switch (name) {
      case "protocol":
        return this.#expectProtocol();
      case "ports":
        this.#hasPorts = true;
        return this.#expectPorts();
      case "type":
        this.#hasType = true;
        return this.#expectByte("an ICMP type", (type) => {
          this.#type = type;
        });
      case "code":
        this.#hasCode = true;
        return this.#expectByte("an ICMP code", (code) => {
          this.#code = code;
        });
      default:
        return null;
    }
  }

  end(): void {
    const protocol = this.#protocol;
    if (protocol === undefined) this.#reader.problem("is missing; a protocol by name or number", "protocol");
    if (this.#hasCode && !this.#hasType) this.#reader.problem("a code needs a type", "code");
    if (protocol === undefined || protocol === null) return;
    const name = protocolName(protocol);
    if (this.#hasPorts && !portProtocols.has(protocol)) {
      this.#reader.problem(`protocol ${name} has no ports (tcp, udp, udplite, sctp, dccp have)`, "ports");
    }
    const isIcmp = protocol === icmp || protocol === icmpv6;
    if (this.#hasType && !isIcmp)
      this.#reader.problem(`protocol ${name} has no types (icmp and icmpv6 have)`, "type");
    if (this.#hasCode && !isIcmp)
      this.#reader.problem(`protocol ${name} has no codes (icmp and icmpv6 have)`, "code");
    if (!this.#take(1)) return;
    this.#done({ protocol, ports: this.#ports, icmpType: this.#type, icmpCode: this.#code });
  }

  #expectProtocol(): Expectation {
    this.#protocol = null;
    return {
      what: "a protocol, by name (tcp) or number (6)",
      text: (name) => {
        this.#protocol = protocolNumber(name);
        if (this.#protocol === null) this.#reader.problem(protocolProblem(name));
      },
      number: (text) => {
        const number = readInteger(text);
        if (number === null || number > 255 || number < 1)
          this.#reader.problem(`${text} is not a protocol (1-255)`);
        else this.#protocol = number;
      },
    };
  }

  #expectPorts(): Expectation {
    const ranges = new Compacting(normalisePorts);
    const add = (text: string) => {
      const range = readPorts(text);
      if (typeof range === "string") this.#reader.problem(range);
      else ranges.add(range);
    };
    return {
      what: "a list of ports",
      list: () => ({
        item: { what: 'a port or a range like "8000-8010"', text: add, number: add },
        end: (length) => {
          if (length === 0) this.#reader.problem("is empty; leave it out for every port");
          const ports = ranges.take();
          if (this.#take(ports.length)) this.#ports = ports;
        },
      }),
    };
  }

  #expectByte(what: string, done: (value: number) => void): Expectation {
    return {
      what: `${what} (0-255)`,
      number: (text) => {
        const number = readInteger(text);
        if (number === null || number < 0 || number > 255)
          this.#reader.problem(`${text} is not ${what} (0-255)`);
        else done(number);
      },
    };
  }
}

function protocolProblem(name: string): string {
  if (protocolNumber(name.toLowerCase()) !== null) {
    return `${quote(name)}: protocol names are in lower case; write ${name.toLowerCase()}`;
  }
  if (/^[0-9]+$/.test(name)) return `${quote(name)} is a text; write a protocol number without quotes`;
  return `${quote(name)} is not a protocol that has a name here; write its IANA number`;
}

/** A whole number as JSON writes it, or null. */
function readInteger(text: string): number | null {
  return /^-?(?:0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : null;
}
