import { open, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { AntennaError } from "@antenna/sdk";
import { type Command, count, exitCode } from "@antenna/sdk/command-line";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";

export const backup: Command = {
  name: "backup",
  summary: "a consistent copy of the data directory, while serving",
  about: `Writes a tar archive (gzip) of everything in the data directory, keys of the fleet included: keep it as you keep those. To
restore, stop the controller, unpack the archive into an empty directory of mode 0700 and serve that: \`tar -xzf FILE -C DIR\`. If agents
have seen newer policies since, nothing is issued to them until \`policy epoch --raise\`. If only the database was lost, unpack
\`database\` alone into the data directory, and keep the newer files beside it.`,
  options: { "data-dir": dataDirOption, json: jsonOption },
  positionals: [{ name: "FILE", about: "made with mode 0600; must not exist", required: true }],
  examples: [["antenna-controller backup /root/antenna-2026-11-23.tar.gz", "every night"]],
  run: async (invocation) => {
    const file = resolve(invocation.positionals[0] ?? "");
    // Never over an older one, and for nobody else to read.
    const target = await open(file, "wx", 0o600).catch((reason: unknown) => {
      throw notMade(file, reason);
    });
    let rest = "";
    const onText = async (text: string): Promise<void> => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) await target.write(Buffer.from(line, "base64"));
    };
    let document: { readonly file: string; readonly bytes: number };
    try {
      const { bytes } = await askController<{ readonly bytes: number }>(invocation, {
        method: "backup",
        onText,
        patienceMs: 600_000,
      });
      await target.sync();
      document = { file, bytes };
    } catch (error) {
      await rm(file, { force: true });
      throw error;
    } finally {
      await target.close();
    }
    await show(invocation, document, ({ file: made, bytes }) => `${made}: ${count(bytes, "byte")}\n`);
    return exitCode.done;
  },
};

function notMade(file: string, reason: unknown): AntennaError {
  const code = reason instanceof Error && "code" in reason ? reason.code : null;
  const detail = reason instanceof Error ? reason.message : String(reason);
  const isDenied = code === "EACCES" || code === "EPERM";
  return new AntennaError({
    code: isDenied ? "not-permitted" : "storage",
    operation: `make ${file}`,
    message: code === "EEXIST" ? "it is there already; a backup never replaces a file" : detail,
    detail,
    cause: reason,
  });
}
