import { register } from "node:module";
import type { Replacement } from "./replacing-loader.js";

// For `node --import`: from here on one module is another. ANTENNA_REPLACEMENT says which.

const { ANTENNA_REPLACEMENT } = process.env;
if (ANTENNA_REPLACEMENT === undefined)
  throw new Error("ANTENNA_REPLACEMENT says which module is to be replaced");
const data = JSON.parse(ANTENNA_REPLACEMENT) as Replacement;
register("./replacing-loader.js", import.meta.url, { data });
