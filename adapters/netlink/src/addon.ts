import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { NetlinkError } from "./netlink-error.js";

/** A descriptor inside the addon; it can be passed to the addon's functions and to nothing else. */
export interface NativeSocket {
  readonly __native: unique symbol;
}

/** The C functions (native/netlink.c). A negative number is an errno; wrong types throw TypeError. */
export interface Addon {
  open(
    family: number,
    type: number,
    protocol: number,
    namespace: string | NativeSocket | null,
  ): NativeSocket | number;
  close(socket: NativeSocket): void;
  bind(socket: NativeSocket, address: Uint8Array): number;
  connect(socket: NativeSocket, address: Uint8Array): number;
  listen(socket: NativeSocket, backlog: number): number;
  turnAway(socket: NativeSocket): number;
  socketName(socket: NativeSocket, address: Uint8Array): number;
  setOption(socket: NativeSocket, level: number, name: number, value: Uint8Array): number;
  getOption(socket: NativeSocket, level: number, name: number, value: Uint8Array): number;
  send(socket: NativeSocket, bytes: Uint8Array, length: number, address: Uint8Array | null): number;
  receive(socket: NativeSocket, bytes: Uint8Array, slotBytes: number, lengths: Int32Array): number;
  watch(socket: NativeSocket, coalesceMs: number, onReadable: () => boolean): number;
  unwatch(socket: NativeSocket): void;
  reference(socket: NativeSocket, keep: boolean): void;
  lock(fd: number, operation: number): number;
  allocatorOption(parameter: number, value: number): number;
  trimAllocator(): number;
}

let loaded: Addon | null = null;

/** Loads the addon once for a thread. Throws NetlinkError `unavailable` with what to do about it. */
export function addon(): Addon {
  loaded ??= load();
  return loaded;
}

function load(): Addon {
  const platform = `${process.platform}-${process.arch}`;
  // What the repository has just compiled, before what was packed some time ago.
  const candidates = ["build", "prebuilds"].map((folder) =>
    fileURLToPath(new URL(`../${folder}/${platform}/netlink.node`, import.meta.url)),
  );
  const file = candidates.find((candidate) => existsSync(candidate));
  if (file === undefined) {
    const advice =
      process.platform === "linux"
        ? `expected at ${candidates.join(" or ")}; the package brings it for linux-x64 and linux-arm64, in the repository run: node adapters/netlink/native/build.mjs`
        : "netlink exists on Linux only";
    throw new NetlinkError({
      code: "unavailable",
      operation: "load addon",
      message: `there is no addon for ${platform}: ${advice}`,
    });
  }
  try {
    return createRequire(import.meta.url)(file) as Addon;
  } catch (cause) {
    throw new NetlinkError({
      code: "unavailable",
      operation: "load addon",
      message: `${file} does not load on ${platform}, Node ${process.version}: ${String(cause)}; install the package anew, or in the repository delete the file and run: node adapters/netlink/native/build.mjs`,
      cause,
    });
  }
}
