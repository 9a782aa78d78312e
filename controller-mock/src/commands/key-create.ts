import { type Command, exitCode, parseDuration, UsageError } from "@antenna/sdk/command-line";
import type { CreatedKeyDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption } from "../locate.js";
import { readLabels } from "./label-arguments.js";

export const keyCreate: Command = {
  name: "key create",
  summary: "a pairing key, printed once and alone on stdout",
  about: `Makes a pairing key, with which agents get an identity (\`antenna pair\`). It is printed now and never again: only its
hash is kept. The labels bind every workload that it pairs. Words for people go to stderr.`,
  options: {
    label: { type: "string", value: "KEY=VALUE", repeats: true, about: "a label of the workloads it pairs" },
    uses: { type: "string", value: "N", about: "how many workloads it may pair (default 1)" },
    ttl: { type: "string", value: "DURATION", about: "how long it is good (default 1h)" },
    addresses: {
      type: "string",
      value: "CIDR",
      repeats: true,
      about: "where the workloads' addresses must lie (default: anywhere)",
    },
    delegate: {
      type: "string",
      value: "KEY",
      repeats: true,
      about: "a label key that labels of containers may set",
    },
    "data-dir": dataDirOption,
    json: jsonOption,
  },
  positionals: [],
  examples: [
    [
      "antenna-controller key create --label role=web --label app=shop --uses 10 --ttl 1h",
      "for ten web servers",
    ],
    [
      "antenna-controller key create --label role=db > key; antenna pair --controller HOST:PORT --key-file key",
      "hand it over in a file",
    ],
  ],
  run: async (invocation) => {
    const uses = invocation.text("uses") ?? "1";
    if (!/^[1-9]\d{0,6}$/.test(uses))
      throw new UsageError(`--uses ${JSON.stringify(uses)} is not a number from 1 to 9999999`);
    const ttl = invocation.text("ttl") ?? "1h";
    const ttlMs = parseDuration(ttl);
    if (ttlMs === null || ttlMs === 0)
      throw new UsageError(`--ttl ${JSON.stringify(ttl)} is not a duration like 15m, 1h or 7d`);
    const { set, removed } = readLabels(invocation.texts("label"));
    if (removed.length > 0)
      throw new UsageError(`--label ${JSON.stringify(`${removed[0]}-`)} is not KEY=VALUE`);
    const created = await askController<CreatedKeyDocument>(invocation, {
      method: "key-create",
      params: {
        labels: set,
        uses: Number(uses),
        ttlMs,
        addresses: invocation.texts("addresses"),
        delegate: invocation.texts("delegate"),
      },
    });
    const { terminal } = invocation;
    if (invocation.has("json")) await terminal.out(`${JSON.stringify(created, null, 2)}\n`);
    else {
      await terminal.out(`${created.pairingKey}\n`);
      const workloads = created.uses === 1 ? "one workload" : `${created.uses} workloads`;
      terminal.err(`good for ${workloads} until ${created.expires}; it is not shown again\n`);
    }
    return exitCode.done;
  },
};
