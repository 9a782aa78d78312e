import { type Command, exitCode, table } from "@antenna/sdk/command-line";
import type { AuthorityDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";

export const caShow: Command = {
  name: "ca show",
  summary: "roots, with fingerprints and expiry",
  about: "The roots by which agents know this controller. The fingerprint is the last part of pairing keys.",
  options: { "data-dir": dataDirOption, json: jsonOption },
  positionals: [],
  examples: [["antenna-controller ca show", "compare with the fingerprint in a key"]],
  run: async (invocation) => {
    const document = await askController<AuthorityDocument>(invocation, { method: "ca-show" });
    await show(invocation, document, rootsTable);
    return exitCode.done;
  },
};

export function rootsTable({ roots }: AuthorityDocument): string {
  return table([
    ["FINGERPRINT (SHA-256)", "EXPIRES", "STATE"],
    ...roots.map(({ fingerprint, expires, current }) => [
      fingerprint,
      expires,
      current ? "issues" : "verifies renewals",
    ]),
  ]);
}
