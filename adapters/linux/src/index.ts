export { type ForeignOptions, type ForeignRule, isOwnAddress, readForeignRules } from "@antenna/netfilter";
export { type LinuxHost, linuxHost } from "./linux-host.js";
export { markUsers } from "./mark-users.js";
export { type OwnerRule, type OwnerRules, ownerRules } from "./owner-rules.js";
