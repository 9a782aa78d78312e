import { type LookupAddress, lookup } from "node:dns";
import { isIP } from "node:net";
import { AntennaError } from "../../error.js";

/** `HOST:PORT` as configured, taken apart. */
export interface ControllerAddress {
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
  /** As it is shown. */
  readonly text: string;
}

/** More addresses than a name of a controller has; the rest is left out. */
const maxAddresses = 16;
const lookupTimeoutMs = 5_000;
const nameForm = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?$/;

/** Reads `HOST:PORT`, `192.0.2.1:8443` or `[2001:db8::1]:8443`. @throws AntennaError `input-refused` */
export function parseControllerAddress(text: string): ControllerAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([^:[\]]{1,254})):([1-9][0-9]{0,4})$/.exec(text);
  const [, bracketed, plain, digits] = match ?? [];
  const host = bracketed ?? plain ?? "";
  const port = Number(digits ?? 0);
  const valid = bracketed === undefined ? isIP(host) === 4 || isName(host) : isIP(host) === 6;
  if (valid && port >= 1 && port <= 65_535) return { host, port, text };
  const problem = `${JSON.stringify(text.slice(0, 300))} is not the address of a controller (HOST:PORT, like controller.example:8443 or [2001:db8::1]:8443)`;
  throw new AntennaError({
    code: "input-refused",
    operation: "read the controller's address",
    message: problem,
    problems: [{ path: "controller", problem }],
  });
}

/** What is dialled, for people: with the address where that says more. */
export function labelOf(controller: ControllerAddress, address: string): string {
  return controller.host === address ? controller.text : `${controller.text} (${address})`;
}

/** All digits and dots would be an address that is none. */
function isName(host: string): boolean {
  return nameForm.test(host) && !/^[0-9.]+$/.test(host) && !host.includes("..");
}

/** Asks the system for the addresses of a name. */
export type NameLookup = (host: string) => Promise<readonly LookupAddress[]>;

/**
 * Asks by getaddrinfo(3). It holds a thread and cannot be stopped: whoever gives up waiting and asks again waits for the same
 * answer.
 */
export function nameLookup(): NameLookup {
  const pending = new Map<string, Promise<readonly LookupAddress[]>>();
  return (host) => {
    const known = pending.get(host);
    if (known !== undefined) return known;
    const asked = new Promise<readonly LookupAddress[]>((resolve, reject) => {
      lookup(host, { all: true, order: "verbatim" }, (error, found) => {
        pending.delete(host);
        if (error === null) resolve(found);
        else reject(error);
      });
    });
    pending.set(host, asked);
    // Nobody may be waiting any more.
    asked.catch(() => {});
    return asked;
  };
}

/**
 * Every address of the controller, as the system resolves names (hosts file included), 16 at most. Waits 5 s at most.
 *
 * @throws AntennaError `unreachable` when the name cannot be resolved, `aborted`.
 */
export async function resolveController(
  address: ControllerAddress,
  lookupName: NameLookup,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  if (isIP(address.host) !== 0) return [address.host];
  const operation = `resolve ${address.host}`;
  let found: readonly LookupAddress[];
  try {
    found = await within(lookupTimeoutMs, lookupName(address.host), signal);
  } catch (reason) {
    if (signal?.aborted === true) throw aborted(operation, signal);
    throw new AntennaError({
      code: "unreachable",
      operation,
      message: "the name of the controller cannot be resolved; check the name and this host's resolver",
      detail: reason instanceof Error ? reason.message : String(reason),
      cause: reason,
    });
  }
  const usable = found.map((one) => unmapped(one.address)).filter((one) => isIP(one) !== 0);
  return [...new Set(usable)].slice(0, maxAddresses);
}

/** getaddrinfo(3) may give an IPv4 address in IPv6 clothes; zones are no use to anybody else. */
function unmapped(address: string): string {
  const match = /^::ffff:([0-9.]+)$/i.exec(address);
  return match?.[1] ?? (address.includes("%") ? "" : address);
}

/** As `work` settles; rejects when the time is over, or the signal fires. */
function within<T>(timeoutMs: number, work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal?.reason);
    const timer = setTimeout(() => reject(new Error(`no answer in ${timeoutMs / 1000} s`)), timeoutMs);
    timer.unref();
    if (signal?.aborted === true) stop();
    signal?.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    });
  });
}

export function aborted(operation: string, signal: AbortSignal): AntennaError {
  return new AntennaError({
    code: "aborted",
    operation,
    message: "the caller gave up",
    cause: signal.reason,
  });
}
