import type { Entry, Program } from "@antenna/sdk/command-line";
import { tellFailure } from "./json-failure.js";
import { packageVersion } from "./package-version.js";

/** Every command, in the order of the help. The summaries are those of the commands; a test compares them. */
const entries: readonly Entry[] = [
  {
    name: "serve",
    summary: "the controller, in the foreground",
    load: async () => (await import("./commands/serve.js")).serve,
  },
  {
    name: "key create",
    summary: "a pairing key, printed once and alone on stdout",
    load: async () => (await import("./commands/key-create.js")).keyCreate,
  },
  {
    name: "key list",
    summary: "pairing keys, without their secrets",
    load: async () => (await import("./commands/key-list.js")).keyList,
  },
  {
    name: "key revoke",
    summary: "a pairing key pairs nobody any more",
    load: async () => (await import("./commands/key-revoke.js")).keyRevoke,
  },
  {
    name: "policy apply",
    summary: "make a label policy the next revision",
    load: async () => (await import("./commands/policy-apply.js")).policyApply,
  },
  {
    name: "policy preview",
    summary: "what a label policy would change and cut, workload by workload",
    load: async () => (await import("./commands/policy-preview.js")).policyPreview,
  },
  {
    name: "policy show",
    summary: "a revision of the label policy, as it was written",
    load: async () => (await import("./commands/policy-show.js")).policyShow,
  },
  {
    name: "policy history",
    summary: "revisions of the label policy",
    load: async () => (await import("./commands/policy-history.js")).policyHistory,
  },
  {
    name: "policy rollback",
    summary: "make the content of an older revision a new one",
    load: async () => (await import("./commands/policy-rollback.js")).policyRollback,
  },
  {
    name: "policy epoch",
    summary: "raise the epoch, after a restore from an older backup",
    load: async () => (await import("./commands/policy-epoch.js")).policyEpoch,
  },
  {
    name: "workloads",
    summary: "workloads: labels, addresses, policy version, state",
    load: async () => (await import("./commands/workloads.js")).workloads,
  },
  {
    name: "workload label",
    summary: "set and remove labels of a workload",
    load: async () => (await import("./commands/workload-label.js")).workloadLabel,
  },
  {
    name: "workload revoke",
    summary: "end a workload's identity: its addresses leave the sets",
    load: async () => (await import("./commands/workload-revoke.js")).workloadRevoke,
  },
  {
    name: "events",
    summary: "what happened, newest first",
    load: async () => (await import("./commands/events.js")).events,
  },
  {
    name: "ca show",
    summary: "roots, with fingerprints and expiry",
    load: async () => (await import("./commands/ca-show.js")).caShow,
  },
  {
    name: "ca rotate",
    summary: "a new root, cross-signed by the old one; the policy key too",
    load: async () => (await import("./commands/ca-rotate.js")).caRotate,
  },
  {
    name: "backup",
    summary: "a consistent copy of the data directory, while serving",
    load: async () => (await import("./commands/backup.js")).backup,
  },
];

/** The `antenna-controller` command. */
export const antennaController: Program = {
  name: "antenna-controller",
  about: "computes one policy per workload from labels, and hands it to the agents",
  unanswered: "no controller answers",
  entries: entries.map(({ name, summary, load }) => ({
    name,
    summary,
    load: async () => tellFailure(await load()),
  })),
  version: packageVersion,
};
