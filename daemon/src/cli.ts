import type { Entry, Program } from "@antenna/sdk/command-line";
import { packageVersion } from "./package-version.js";

/** Every command, in the order of the help. The summaries are those of the commands; a test compares them. */
const entries: readonly Entry[] = [
  {
    name: "run",
    summary: "the daemon, in the foreground (`antennad` is the same)",
    load: async () => (await import("./commands/run.js")).run,
  },
  {
    name: "pair",
    summary: "get an identity from a controller, with a pairing key",
    load: async () => (await import("./commands/pair.js")).pair,
  },
  {
    name: "status",
    summary: "mode, policy version, state, link, drift, budget against use, problems",
    load: async () => (await import("./commands/status.js")).status,
  },
  {
    name: "context",
    summary: "what the controller is told of this host",
    load: async () => (await import("./commands/context.js")).context,
  },
  {
    name: "policy",
    summary: "the policy in force",
    load: async () => (await import("./commands/policy.js")).policy,
  },
  {
    name: "policy check",
    summary: "is a policy file valid, and what does it cost",
    load: async () => (await import("./commands/policy-check.js")).policyCheck,
  },
  {
    name: "policy preview",
    summary: "what a policy file would change and cut",
    load: async () => (await import("./commands/policy-preview.js")).policyPreview,
  },
  {
    name: "explain",
    summary: "verdict for a new connection, and why",
    load: async () => (await import("./commands/explain.js")).explain,
  },
  {
    name: "verify",
    summary: "does the kernel hold exactly what the policy says",
    load: async () => (await import("./commands/verify.js")).verify,
  },
  {
    name: "check",
    summary: "is this host able to enforce; changes nothing",
    load: async () => (await import("./commands/check.js")).check,
  },
  {
    name: "suspend",
    summary: "take the rules out until `antenna resume`; survives restarts",
    load: async () => (await import("./commands/suspend.js")).suspend,
  },
  {
    name: "resume",
    summary: "enforce again after `antenna suspend`",
    load: async () => (await import("./commands/resume.js")).resume,
  },
  {
    name: "unpair",
    summary: "give this host's identity up; the policy in force stays",
    load: async () => (await import("./commands/unpair.js")).unpair,
  },
  {
    name: "purge",
    summary: "take everything of Antenna's out of the kernel; needs no daemon",
    load: async () => (await import("./commands/purge.js")).purge,
  },
];

/** The `antenna` command. */
export const antenna: Program = {
  name: "antenna",
  about: "turns a workload's policy into kernel rules and keeps them so",
  unanswered: "no daemon answers",
  entries,
  version: packageVersion,
};
