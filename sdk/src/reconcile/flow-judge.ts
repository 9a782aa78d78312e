import type { Decision, Packet } from "../evaluate/packet.js";
import type { ConnectionTable, TrackedFlow } from "../ports.js";
import { copyFlow, flowPacket } from "./flow-packet.js";

/** Decides about the packet that would open a flow now. */
export type Judge = (packet: Packet) => Decision;

/** What one pass over the connection table did. */
export interface JudgeResult {
  /** Flows cut by this pass, those that were closing by themselves not counted. */
  readonly cut: number;
  /** Flows whose mark was taken away because the policy allows them now. */
  readonly restored: number;
  /** Flows seen that had been cut before and stay so. */
  readonly kept: number;
  readonly socketsEnded: number;
  /** Some of the flows cut, at most `maxExamples`. */
  readonly examples: readonly TrackedFlow[];
  /** False when the pass was broken off: flows were left unjudged. */
  readonly complete: boolean;
}

export interface JudgeOptions {
  readonly signal: AbortSignal;
  /** Asked between batches; true breaks the pass off. */
  readonly interrupted: () => boolean;
}

const maxExamples = 20;

/**
 * One pass over every tracked flow: cuts those that would be denied if they opened now, and no other; takes the mark
 * from those that would be allowed. Nobody judges forwarded flows and flows with both ends local: they stay.
 *
 * Flows that are closing are cut too, since a half-closed connection may carry data in the other direction for as
 * long as it likes; they only do not count.
 */
export async function judgeFlows(
  connections: ConnectionTable,
  judge: Judge,
  options: JudgeOptions,
): Promise<JudgeResult> {
  const inbound = (flow: TrackedFlow): boolean => connections.isInbound(flow);
  let cut = 0;
  let restored = 0;
  let kept = 0;
  let socketsEnded = 0;
  const examples: TrackedFlow[] = [];
  for await (const batch of connections.dump({ signal: options.signal })) {
    const denied: TrackedFlow[] = [];
    const allowed: TrackedFlow[] = [];
    let closing = 0;
    for (const flow of batch) {
      const packet = flowPacket(flow, inbound);
      if (packet === null) continue;
      if (judge(packet).verdict === "blocked") {
        if (flow.cut) {
          kept += 1;
          continue;
        }
        denied.push(flow);
        if (flow.closing) closing += 1;
        else if (examples.length < maxExamples) examples.push(copyFlow(flow));
      } else if (flow.cut) {
        allowed.push(flow);
      }
    }
    if (denied.length > 0) {
      const result = await connections.cut(denied, { signal: options.signal });
      cut += Math.max(0, result.cut - closing);
      socketsEnded += result.socketsEnded;
    }
    if (allowed.length > 0) {
      await connections.restore(allowed, { signal: options.signal });
      restored += allowed.length;
    }
    if (options.interrupted()) return { cut, restored, kept, socketsEnded, examples, complete: false };
  }
  return { cut, restored, kept, socketsEnded, examples, complete: true };
}

/** Takes the mark from those of the flows kept cut that would be allowed now; without reading the table. */
export async function restoreAllowed(
  connections: ConnectionTable,
  judge: Judge,
  signal: AbortSignal,
): Promise<number> {
  const inbound = (flow: TrackedFlow): boolean => connections.isInbound(flow);
  const allowed = connections.cutFlows().filter((flow) => {
    const packet = flowPacket(flow, inbound);
    return packet !== null && judge(packet).verdict !== "blocked";
  });
  if (allowed.length > 0) await connections.restore(allowed, { signal });
  return allowed.length;
}

/** A flow that a policy would cut, for showing. */
export interface CutPreview {
  readonly flow: TrackedFlow;
  /** The packet it was judged by. */
  readonly packet: Packet;
}

/** Which flows would be cut if `judge` decided; nothing is written. Closing ones and those cut already do not count. */
export async function previewCuts(
  connections: ConnectionTable,
  judge: Judge,
  options: { readonly signal: AbortSignal; readonly limit: number },
): Promise<{ readonly flows: number; readonly examples: readonly CutPreview[] }> {
  let flows = 0;
  const examples: CutPreview[] = [];
  for await (const batch of connections.dump({ signal: options.signal })) {
    for (const flow of batch) {
      if (flow.cut || flow.closing) continue;
      const packet = flowPacket(flow, (asked) => connections.isInbound(asked));
      if (packet === null || judge(packet).verdict !== "blocked") continue;
      flows += 1;
      if (examples.length < options.limit) {
        const copy = copyFlow(flow);
        const shown = flowPacket(copy, (asked) => connections.isInbound(asked));
        if (shown !== null) examples.push({ flow: copy, packet: shown });
      }
    }
  }
  return { flows, examples };
}
