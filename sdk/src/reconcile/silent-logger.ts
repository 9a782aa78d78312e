import type { Logger } from "../ports.js";

/** What an agent without an injected logger writes: nothing. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
};
