import { parentPort } from "node:worker_threads";
import { system } from "systeminformation";

// A thread of its own: what systeminformation loads goes with it.
const { virtual, virtualHost } = await system();
parentPort?.postMessage(virtual ? (virtualHost ?? "virtual").toLowerCase().slice(0, 32) : "none");
