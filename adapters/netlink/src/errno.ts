import { getSystemErrorMap } from "node:util";

/** Errnos that this package decides by; the same on x64 and arm64. Source: asm-generic/errno.h. */
export const ENOENT = 2;
export const EAGAIN = 11;
export const EADDRINUSE = 98;
export const ENOBUFS = 105;
export const ECONNREFUSED = 111;
export const ESTALE = 116;

/** Made once: each call of Node's builds the whole map anew. */
let names: ReadonlyMap<number, readonly [string, string]> | null = null;

/** `EPERM (operation not permitted)`, or `errno 4099` for one that only a subsystem of the kernel knows. */
export function errnoText(errno: number): string {
  names ??= getSystemErrorMap();
  const known = names.get(-errno);
  return known === undefined ? `errno ${errno}` : `${known[0]} (${known[1]})`;
}
