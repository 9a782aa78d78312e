import { littleEndian } from "./codec/byte-order.js";
import { AF_UNIX } from "./constants.js";

/** sizeof(sun_path), unix(7). */
const longest = 108;

/** The bytes of a struct sockaddr_un: a path, or after `@` a name in the abstract namespace (unix(7)). */
export function unixAddress(path: string): Uint8Array {
  const abstract = path.startsWith("@");
  const name = new TextEncoder().encode(abstract ? `\0${path.slice(1)}` : path);
  // An abstract name is as long as the address says; a path ends with a NUL.
  const length = abstract ? name.length : name.length + 1;
  if (name.length === 0 || length > longest)
    throw new RangeError(`${path} is no socket name of 1 to ${longest - 1} bytes`);
  if (name.includes(0, abstract ? 1 : 0)) throw new RangeError("a socket name cannot hold a NUL");
  const address = new Uint8Array(2 + length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, littleEndian);
  address.set(name, 2);
  return address;
}
