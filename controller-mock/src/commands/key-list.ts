import { type Command, exitCode, table } from "@antenna/sdk/command-line";
import type { KeysDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";
import { labelText } from "./label-text.js";

export const keyList: Command = {
  name: "key list",
  summary: "pairing keys, without their secrets",
  about: "Every pairing key: its labels, how often it was used, until when it is good.",
  options: { "data-dir": dataDirOption, json: jsonOption },
  positionals: [],
  examples: [["antenna-controller key list", "what keys are about"]],
  run: async (invocation) => {
    const document = await askController<KeysDocument>(invocation, { method: "key-list" });
    await show(invocation, document, ({ keys }) =>
      keys.length === 0
        ? "no keys; `antenna-controller key create` makes one\n"
        : table([
            ["ID", "USED", "EXPIRES", "STATE", "LABELS", "ADDRESSES"],
            ...keys.map(({ id, used, uses, expires, revoked, labels, addresses }) => [
              id,
              `${used}/${uses}`,
              expires,
              keyState(revoked, used >= uses, expires),
              labelText(labels),
              addresses.join(" ") || "anywhere",
            ]),
          ]),
    );
    return exitCode.done;
  },
};

function keyState(revoked: boolean, usedUp: boolean, expires: string): string {
  if (revoked) return "revoked";
  if (Date.parse(expires) <= Date.now()) return "expired";
  return usedUp ? "used up" : "good";
}
