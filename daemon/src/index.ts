export type * from "./documents.js";
