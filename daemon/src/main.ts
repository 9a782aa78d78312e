import { runCommandLine, systemTerminal } from "@antenna/sdk/command-line";
import { antenna } from "./cli.js";
import { pairingKeyVariable } from "./run/pairing-key.js";

// Commands get the environment as it was; children inherit what is left, and the key is none of their business.
const environment = { ...process.env };
delete process.env[pairingKeyVariable];

const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  // `run` puts its own listeners beside these and outlives the abort; a second signal ends any other command at once.
  process.once(name, () => interrupted.abort(name));
}

// Sockets of a link keep no process alive; a command that waits for an answer does.
setInterval(() => undefined, 2 ** 30);

const code = await runCommandLine(antenna, process.argv.slice(2), {
  terminal: systemTerminal(),
  environment,
  signal: interrupted.signal,
});
// Everything is closed and written; what a library left open must not keep the process.
process.exit(code);
