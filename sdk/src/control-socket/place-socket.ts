import { join } from "node:path";
import { AntennaError } from "../error.js";

/** Longest path of a unix socket: `sun_path` of unix(7), its final zero left out. */
const longestSocketPath = 107;

/**
 * Path of a socket in a directory; throws `input-refused`, naming the setting that the directory comes from, where no socket can
 * be made under that name.
 */
export function placeSocket(directory: string, name: string, setting: string): string {
  const path = join(directory, name);
  if (Buffer.byteLength(path) <= longestSocketPath) return path;
  const problem = `${path} is longer than the ${longestSocketPath} bytes that a socket's path may have`;
  throw new AntennaError({
    code: "input-refused",
    operation: "place the control socket",
    message: `${problem}; choose a shorter directory`,
    problems: [{ path: setting, problem }],
  });
}
