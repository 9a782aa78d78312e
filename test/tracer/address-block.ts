/** A network: the first `prefix` bits of `bytes` count. */
export interface AddressBlock {
  readonly family: 4 | 6;
  readonly bytes: Uint8Array;
  readonly prefix: number;
}

/** `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `fd00::/8`, or a single address. Throws on anything else. */
export function parseBlock(text: string): AddressBlock {
  const [head = "", tail] = text.split("/", 2);
  const bytes = parseAddress(head);
  const width = bytes.length * 8;
  const prefix = tail === undefined ? width : parsePrefix(tail, width);
  return { family: bytes.length === 4 ? 4 : 6, bytes: keepPrefix(bytes, prefix), prefix };
}

/** 4 or 16 bytes in network order. Throws when it is no numeric address. */
export function parseAddress(text: string): Uint8Array {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

export function blockContains(block: AddressBlock, address: Uint8Array): boolean {
  if (address.length !== block.bytes.length) return false;
  const whole = block.prefix >> 3;
  for (let i = 0; i < whole; i++) {
    if (address[i] !== block.bytes[i]) return false;
  }
  const rest = block.prefix & 7;
  if (rest === 0) return true;
  const mask = 0xff00 >> rest;
  return (((address[whole] ?? 0) ^ (block.bytes[whole] ?? 0)) & mask & 0xff) === 0;
}

/** The address with every bit past `prefix` cleared. */
export function keepPrefix(address: Uint8Array, prefix: number): Uint8Array {
  const kept = new Uint8Array(address.length);
  for (let i = 0; i < address.length; i++) {
    const bits = Math.min(8, Math.max(0, prefix - i * 8));
    kept[i] = (address[i] ?? 0) & (0xff00 >> bits);
  }
  return kept;
}

function parsePrefix(text: string, width: number): number {
  if (/^\d{1,3}$/.test(text)) {
    const prefix = Number(text);
    if (prefix <= width) return prefix;
  } else if (width === 32 && text.includes(".")) {
    const mask = parseIpv4(text);
    const bits = Array.from(mask, (byte) => byte.toString(2).padStart(8, "0")).join("");
    if (/^1*0*$/.test(bits)) return bits.indexOf("0") === -1 ? 32 : bits.indexOf("0");
  }
  throw new Error(`no prefix length: ${text}`);
}

function parseIpv4(text: string): Uint8Array {
  const parts = text.split(".");
  if (parts.length !== 4 || parts.some((part) => !/^\d{1,3}$/.test(part) || Number(part) > 255)) {
    throw new Error(`no IPv4 address: ${text}`);
  }
  return Uint8Array.from(parts, Number);
}

function parseIpv6(text: string): Uint8Array {
  const halves = text.split("::");
  if (halves.length > 2) throw new Error(`no IPv6 address: ${text}`);
  const front = groups(halves[0] ?? "", text);
  const back = groups(halves[1] ?? "", text);
  const missing = 16 - front.length - back.length;
  if (halves.length === 1 ? missing !== 0 : missing < 2) throw new Error(`no IPv6 address: ${text}`);
  return Uint8Array.from([...front, ...new Array<number>(missing).fill(0), ...back]);
}

function groups(text: string, whole: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group, index, all) => {
    if (index === all.length - 1 && group.includes(".")) return [...parseIpv4(group)];
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) throw new Error(`no IPv6 address: ${whole}`);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
