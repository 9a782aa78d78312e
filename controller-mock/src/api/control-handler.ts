import { AntennaError, type Problem } from "@antenna/sdk";
import type { ControlCall, ControlHandler } from "@antenna/sdk/control-socket";
import { largestLabelPolicy } from "../commands/policy-file.js";
import type { Controller } from "../fleet/controller.js";

/** Base64 of it fits a line. */
const backupPieceBytes = 24 * 1024;
/** Events that a slow follower has not taken yet; then it is told how many it missed. */
const mostWaitingEvents = 10_000;

/** What the control socket answers. Everything that comes in is checked here or by the controller. */
export function controlHandler(controller: Controller): ControlHandler {
  const methods: Readonly<Record<string, (call: ControlCall) => Promise<unknown>>> = {
    "key-create": async ({ params }) =>
      await controller.createKey({
        labels: textsByName(params, "labels"),
        uses: number(params, "uses"),
        ttlMs: number(params, "ttlMs"),
        addresses: texts(params, "addresses"),
        delegate: texts(params, "delegate"),
      }),
    "key-list": async () => controller.keys(),
    "key-revoke": async ({ params }) => await controller.revokeKey(text(params, "id")),
    "policy-apply": async (call) => await controller.applyPolicy(await policyText(call)),
    "policy-wait": async ({ params, signal }) =>
      await controller.waitForRevision(number(params, "revision"), signal),
    "policy-preview": async (call) => await controller.previewPolicy(await policyText(call)),
    "policy-show": async ({ params }) =>
      await controller.showPolicy(params.revision === null ? undefined : number(params, "revision")),
    "policy-history": async () => controller.history(),
    "policy-rollback": async ({ params }) => await controller.rollback(number(params, "revision")),
    "policy-epoch-raise": async () => await controller.raiseEpoch(),
    workloads: async () => controller.workloads(),
    "workload-label": async ({ params }) =>
      await controller.labelWorkload(text(params, "id"), {
        set: textsByName(params, "set"),
        removed: texts(params, "removed"),
      }),
    "workload-revoke": async ({ params }) => await controller.revokeWorkload(text(params, "id")),
    events: async ({ params }) => await controller.events(number(params, "limit")),
    "events-follow": (call) => followEvents(controller, call),
    "ca-show": async () => controller.authority(),
    "ca-rotate": async () => await controller.rotateAuthority(),
    backup: (call) => sendBackup(controller, call),
  };
  return (call) => {
    const method = Object.hasOwn(methods, call.method) ? methods[call.method] : undefined;
    if (method === undefined)
      throw refused([{ path: "method", problem: `${call.method} is unknown to this controller` }]);
    return method(call);
  };
}

/** Those that are there, oldest first, then those to come: one JSON document a line, until the client leaves. */
async function followEvents(
  controller: Controller,
  { params, signal, write }: ControlCall,
): Promise<unknown> {
  let waiting: string[] = [];
  let missed = 0;
  let wake = (): void => {};
  using _ = controller.onEvent((event) => {
    if (waiting.length < mostWaitingEvents) waiting.push(`${JSON.stringify(event)}\n`);
    else missed++;
    wake();
  });
  const { events } = await controller.events(number(params, "limit"));
  // What came while they were read is among them, or waits: never both, by its place in the list.
  const known = new Set(waiting);
  for (const event of events.toReversed()) {
    const line = `${JSON.stringify(event)}\n`;
    if (!known.has(line)) await write(line);
  }
  signal.addEventListener("abort", () => wake(), { once: true });
  while (!signal.aborted) {
    const lines = waiting;
    waiting = [];
    for (const line of lines) await write(line);
    if (missed > 0) {
      const message = `${missed} events came faster than they were read here; \`events\` lists them`;
      await write(
        `${JSON.stringify({ time: new Date().toISOString(), type: "missed", workload: null, address: null, message })}\n`,
      );
      missed = 0;
    }
    if (waiting.length === 0 && !signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
  }
  return null;
}

/** Lines of base64. */
async function sendBackup(controller: Controller, { write }: ControlCall): Promise<unknown> {
  let bytes = 0;
  for await (const chunk of await controller.backup()) {
    for (let start = 0; start < chunk.length; start += backupPieceBytes) {
      const piece = Buffer.from(chunk.subarray(start, start + backupPieceBytes));
      bytes += piece.length;
      await write(`${piece.toString("base64")}\n`);
    }
  }
  return { bytes };
}

async function policyText({ body }: ControlCall): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > largestLabelPolicy)
      throw refused([
        {
          path: "",
          problem: `is larger than ${largestLabelPolicy} bytes, the most that a label policy may have`,
        },
      ]);
    parts.push(part);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(parts));
  } catch {
    throw refused([{ path: "", problem: "is not UTF-8" }]);
  }
}

type Params = ControlCall["params"];

function text(params: Params, name: string): string {
  const value = params[name];
  if (typeof value === "string" && value !== "") return value;
  throw refused([{ path: name, problem: "is not a text" }]);
}

function number(params: Params, name: string): number {
  const value = params[name];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw refused([{ path: name, problem: "is not a whole number" }]);
}

function texts(params: Params, name: string): readonly string[] {
  const value = params[name];
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw refused([{ path: name, problem: "is not a list of texts" }]);
}

function textsByName(params: Params, name: string): Readonly<Record<string, string>> {
  const value = params[name];
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : null;
  const good = entries?.filter((entry): entry is [string, string] => typeof entry[1] === "string");
  if (good !== undefined && good.length === entries?.length) return Object.fromEntries(good);
  throw refused([{ path: name, problem: "is not a map of texts" }]);
}

function refused(problems: readonly Problem[]): AntennaError {
  const message = problems
    .map(({ path, problem }) => (path === "" ? problem : `${path}: ${problem}`))
    .join("; ");
  return new AntennaError({ code: "input-refused", operation: "read the request", message, problems });
}
