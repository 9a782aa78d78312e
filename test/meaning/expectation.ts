import { createHash } from "node:crypto";
import type { Decision, Packet } from "@antenna/sdk";
import type { Trace } from "../tracer/trace.js";

/** What the owner's own rule tells of every packet that our chains leave to him. */
export const ownersPrefix = "the owner's own rule";

/** What a packet's way through the rules has to look like, if the rules mean what was decided. */
export interface Expectation {
  readonly verdict: Trace["verdict"];
  readonly rejectedWith: string | null;
  /** Prefixes in order; the owner's own rule, which follows ours, among them. */
  readonly told: readonly string[];
}

export function expectationOf(decision: Decision, packet: Packet, onAllow: "return" | "accept"): Expectation {
  switch (decision.verdict) {
    case "allowed":
      return { verdict: "accepted", rejectedWith: null, told: onAllow === "accept" ? [] : [ownersPrefix] };
    case "potentially-blocked":
      return { verdict: "accepted", rejectedWith: null, told: [...denialPrefix(decision), ownersPrefix] };
    case "blocked": {
      const rejected = decision.refusal === "reject";
      return {
        verdict: rejected ? "rejected" : "dropped",
        rejectedWith: rejected ? answerTo(packet) : null,
        told: denialPrefix(decision),
      };
    }
  }
}

/** `idle`: nothing of ours is there. */
export const untouched: Expectation = { verdict: "accepted", rejectedWith: null, told: [ownersPrefix] };

export function differs(trace: Trace, expectation: Expectation): boolean {
  return (
    trace.verdict !== expectation.verdict ||
    trace.rejectedWith !== expectation.rejectedWith ||
    trace.told.join("\n") !== expectation.told.join("\n")
  );
}

/** TCP: a reset; otherwise port unreachable, of the family's own ICMP. */
function answerTo(packet: Packet): string {
  if (packet.protocol === 6) return "tcp-reset";
  return packet.family === 4 ? "icmp-port-unreachable" : "icmp6-port-unreachable";
}

/** Which rule denied, in the words of NFLOG; cut flows are dropped without a word. */
function denialPrefix(decision: Decision): readonly string[] {
  if (decision.stage === "cut") return [];
  if (decision.rule === null) return ["ant:default"];
  const name = /^[A-Za-z0-9._/@+=-]{1,48}$/.test(decision.rule)
    ? decision.rule
    : `#${createHash("sha256").update(decision.rule).digest("hex").slice(0, 32)}`;
  return [`ant:${decision.stage === "secure" ? "secure" : "rule"}:${name}`];
}
