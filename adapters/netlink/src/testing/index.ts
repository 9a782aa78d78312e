export { type Exchange, type ScriptedMessage, ScriptedTransport } from "./scripted-transport.js";
