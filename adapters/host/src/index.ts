export type { MetadataAddress } from "./cloud/metadata-request.js";
export { type HostContextOptions, hostContext } from "./host-context.js";
