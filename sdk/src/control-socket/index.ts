export * from "./client.js";
export { placeSocket } from "./place-socket.js";
export { type Json, largestBody, ProtocolError, pieceBytes } from "./protocol.js";
export * from "./server.js";
export * from "./unanswered-error.js";
