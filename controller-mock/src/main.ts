import { runCommandLine, systemTerminal } from "@antenna/sdk/command-line";
import { antennaController } from "./cli.js";

const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  // A second signal ends the process at once.
  process.once(name, () => interrupted.abort(name));
}

const code = await runCommandLine(antennaController, process.argv.slice(2), {
  terminal: systemTerminal(),
  environment: process.env,
  signal: interrupted.signal,
});
// Everything is closed and written; what a library left open must not keep the process.
process.exit(code);
