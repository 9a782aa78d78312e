export { type ConnectionTableOptions, openConnectionTable } from "./connections/connection-table.js";
export type { ForeignRule } from "./foreign/foreign-walk.js";
export { isOwnAddress } from "./foreign/own-address.js";
export { type ForeignOptions, readForeignRules } from "./foreign/read-foreign.js";
export { netfilterProvider } from "./provider.js";
export { type LogSource, logName, logPrefix } from "./render/log-prefix.js";
