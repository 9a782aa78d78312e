import { setTimeout as delay } from "node:timers/promises";
import { machineState, namespacesLeft } from "./machine-state.js";
import { statusView } from "./status-view.js";
import { Story } from "./story.js";

// `npm start`: tells the story on a lab of network namespaces, then stays up with a status view until Ctrl-C.
// `npm start -- --once`: ends after the story, with exit code 1 if something went otherwise than told.

const once = process.argv.includes("--once");
const colour = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;

if (process.getuid?.() !== 0) {
  process.stderr.write(
    "The lab makes network namespaces and real firewall rules inside them: it needs root. Try: sudo npm start\n",
  );
  process.stderr.write("Without root: ANTENNA_TIERS=unit npm test\n");
  process.exit(5);
}

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());

const before = await machineState();
let failures = 0;
let namespaces: readonly string[] = [];
try {
  await using story = await Story.begin({
    write: (text) => void process.stdout.write(text),
    colour,
    signal: stop.signal,
  });
  namespaces = story.namespaces;
  await story.tell();
  failures = story.failures;
  if (!once) {
    process.stdout.write("\nThe lab stays up; Ctrl-C ends it and takes everything away.\n");
    while (!stop.signal.aborted) {
      process.stdout.write(`\n${await statusView(story.agents)}`);
      await delay(5000, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  }
} catch (error) {
  if (!stop.signal.aborted) throw error;
}
const after = await machineState();
const left = await namespacesLeft(namespaces);
if (after !== before || left.length > 0) {
  failures += 1;
  process.stderr.write(
    `The machine is not as it was found. Namespaces left: ${left.join(", ") || "none"}.\n`,
  );
  if (after !== before) process.stderr.write(`Before:\n${before}\nAfter:\n${after}\n`);
} else {
  process.stdout.write("The machine is as it was found: namespaces gone, nothing of ours outside them.\n");
}
process.exitCode = failures === 0 ? 0 : 1;
