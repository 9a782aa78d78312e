import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";

const run = promisify(execFile);

/** `ip` of iproute2, by absolute path. */
export const ip = "/usr/sbin/ip";
export const nsenter = "/usr/bin/nsenter";

/** A network namespace made for a test or a lab; gone when disposed, whatever happened in between. */
export interface Namespace extends AsyncDisposable {
  readonly name: string;
  /** /run/netns/NAME */
  readonly path: string;
  /** Runs a program inside and gives its output; rejects when it fails. */
  exec(file: string, args: readonly string[], input?: string): Promise<string>;
}

/** A name no other run uses: namespaces of parallel runs never collide. At most 15 characters. */
export function uniqueName(prefix: string): string {
  return `${prefix.slice(0, 6)}-${randomBytes(4).toString("hex")}`;
}

/** Makes a namespace with loopback up. Needs root. */
export async function createNamespace(name: string = uniqueName("ant")): Promise<Namespace> {
  await run(ip, ["netns", "add", name]);
  const path = `/run/netns/${name}`;
  const namespace: Namespace = {
    name,
    path,
    exec: (file, args, input) => execInside(path, file, args, input),
    [Symbol.asyncDispose]: async () => {
      await run(ip, ["netns", "delete", name]);
    },
  };
  try {
    await run(ip, ["-n", name, "link", "set", "lo", "up"]);
  } catch (error) {
    await namespace[Symbol.asyncDispose]();
    throw error;
  }
  return namespace;
}

/** The argv that runs a program inside a namespace. */
export function inside(
  path: string,
  file: string,
  args: readonly string[],
): readonly [string, readonly string[]] {
  return [nsenter, [`--net=${path}`, "--", file, ...args]];
}

async function execInside(
  path: string,
  file: string,
  args: readonly string[],
  input?: string,
): Promise<string> {
  const [program, argv] = inside(path, file, args);
  const child = run(program, [...argv], { maxBuffer: 64 * 1024 * 1024 });
  if (input !== undefined) child.child.stdin?.end(input);
  const { stdout } = await child;
  return stdout;
}

/** One end of a link: which namespace, under which interface name, with which addresses (`10.0.0.1/24`, `fd00::1/64`). */
export interface LinkEnd {
  readonly namespace: Namespace;
  readonly interface: string;
  readonly addresses: readonly string[];
}

/** Joins two namespaces by a veth pair, up on both ends; IPv6 addresses are usable at once (no duplicate address detection). */
export async function link(a: LinkEnd, b: LinkEnd): Promise<void> {
  await run(ip, [
    ...["-n", a.namespace.name, "link", "add", a.interface, "type", "veth"],
    ...["peer", "name", b.interface, "netns", b.namespace.name],
  ]);
  for (const end of [a, b]) {
    for (const address of end.addresses) {
      const flags = address.includes(":") ? ["nodad"] : [];
      await run(ip, ["-n", end.namespace.name, "address", "add", address, "dev", end.interface, ...flags]);
    }
    await run(ip, ["-n", end.namespace.name, "link", "set", end.interface, "up"]);
  }
}
