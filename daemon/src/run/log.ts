import { AntennaError, type Logger } from "@antenna/sdk";
import { destination, pino, stdSerializers } from "pino";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** The daemon's log: one JSON object a line on stderr. */
export interface Log extends Logger {
  setLevel(level: LogLevel): void;
  /** Writes what is still held; for the moment before the process ends. */
  flush(): void;
}

/** Lines that a slow reader of stderr has not taken yet are held up to this many bytes; then the newest are lost. */
const mostHeldBytes = 1024 * 1024;

export function openLog(level: LogLevel): Log {
  const stream = destination({ dest: 2, sync: false, maxLength: mostHeldBytes });
  // Nobody reads the log any more: enforcing goes on.
  stream.on("error", () => undefined);
  const logger = pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      serializers: { err: describe, error: describe },
    },
    stream,
  );
  return {
    debug: (facts, message) => logger.debug(facts, message),
    info: (facts, message) => logger.info(facts, message),
    warn: (facts, message) => logger.warn(facts, message),
    error: (facts, message) => logger.error(facts, message),
    setLevel: (given) => {
      logger.level = given;
    },
    flush: () => {
      try {
        stream.flushSync();
      } catch {
        // Opened too late, or closed by its reader: nothing can be told any more.
      }
    },
  };
}

/** An error of ours says what matters in its fields; of any other the stack is needed too. */
function describe(reason: unknown): unknown {
  if (!(reason instanceof AntennaError)) return reason instanceof Error ? stdSerializers.err(reason) : reason;
  const { code, operation, message, detail, problems } = reason;
  return { code, operation, message, detail, problems: problems.slice(0, 20) };
}
