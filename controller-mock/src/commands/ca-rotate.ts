import { type Command, exitCode } from "@antenna/sdk/command-line";
import type { AuthorityDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";
import { rootsTable } from "./ca-show.js";

export const caRotate: Command = {
  name: "ca rotate",
  summary: "a new root, cross-signed by the old one; the policy key too",
  about: `Makes a new root that the old one vouches for, and a new policy key that the old one vouches for. Agents that are connected
learn of both at once, the others when they come back; the old root verifies renewals for 90 days and 24 hours more. Pairing keys made before
carry the old fingerprint: make new ones.`,
  options: { "data-dir": dataDirOption, json: jsonOption },
  positionals: [],
  examples: [["antenna-controller ca rotate", "once a year, or when the old key may be known"]],
  run: async (invocation) => {
    const document = await askController<AuthorityDocument>(invocation, { method: "ca-rotate" });
    await show(invocation, document, rootsTable);
    return exitCode.done;
  },
};
