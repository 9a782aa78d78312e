import { main } from "./cli.js";
import { systemTerminal } from "./terminal.js";

const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  // `run` puts its own listeners beside these and outlives the abort; a second signal ends any other command at once.
  process.once(name, () => interrupted.abort(name));
}

const code = await main(process.argv.slice(2), {
  terminal: systemTerminal(),
  environment: process.env,
  signal: interrupted.signal,
});
// Everything is closed and written; what a library left open must not keep the process.
process.exit(code);
