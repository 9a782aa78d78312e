import type { Problem } from "@antenna/sdk";
import { type Invocation, type Option, UsageError } from "@antenna/sdk/command-line";
import { keys } from "./config/keys.js";

/** Options that several commands share, with one meaning. */
export const stateDirOption: Option = {
  type: "string",
  value: "DIR",
  about: "the daemon's state directory (default /var/lib/antenna)",
};
export const configOption: Option = {
  type: "string",
  value: "FILE",
  about: "configuration (default /etc/antenna/antenna.yaml, if it exists)",
};
export const jsonOption: Option = { type: "boolean", about: "one JSON document on stdout, nothing else" };
export const workloadOption: Option = {
  type: "string",
  value: "ID|NAME",
  about: "an enforcement point by id or name (default: the host)",
};
export const controllerOption: Option = {
  type: "string",
  value: "HOST:PORT",
  about: "the controller, by name or address ([2001:db8::1]:8443)",
};
export const keyFileOption: Option = {
  type: "string",
  value: "FILE",
  about: "the pairing key (default: ANTENNA_PAIRING_KEY)",
};

/** `--controller`, checked; nothing where it was not given. */
export function flaggedController(invocation: Invocation): { readonly controller?: string } {
  const text = invocation.text("controller");
  if (text === null) return {};
  const problems: Problem[] = [];
  const controller = keys.controller.kind.read(text, "--controller", problems);
  if (controller === null) throw new UsageError(`--controller ${problems[0]?.problem ?? "is not HOST:PORT"}`);
  return { controller };
}
