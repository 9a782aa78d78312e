export * from "./command.js";
export * from "./command-line.js";
export * from "./duration.js";
export * from "./exit-code.js";
export * from "./terminal.js";
