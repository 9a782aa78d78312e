import { AntennaError, type Logger } from "@antenna/sdk";
import { destination, pino, stdSerializers } from "pino";

/** Lines that a slow reader of stderr has not taken yet are held up to this many bytes; then the newest are lost. */
const mostHeldBytes = 1024 * 1024;

/** The controller's log: one JSON object a line on stderr. */
export function openLog(): Logger {
  const stream = destination({ dest: 2, sync: true, maxLength: mostHeldBytes });
  // Nobody reads the log any more: serving goes on.
  stream.on("error", () => undefined);
  const timestamp = (): string => `,"time":"${new Date().toISOString()}"`;
  return pino(
    { base: { pid: process.pid }, timestamp, serializers: { err: describe, error: describe } },
    stream,
  );
}

function describe(reason: unknown): unknown {
  if (!(reason instanceof AntennaError)) return reason instanceof Error ? stdSerializers.err(reason) : reason;
  const { code, operation, message, detail, problems } = reason;
  return { code, operation, message, detail, problems: problems.slice(0, 20) };
}
