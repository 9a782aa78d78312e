import { evaluate, type Packet, type Policy, parseAddress, parsePolicy } from "@antenna/sdk";

export interface PathQuestion {
  readonly from: { readonly name: string; readonly address: string };
  readonly to: { readonly name: string; readonly address: string };
  readonly port: number;
  /** The policy text of a host; null: it has no agent. */
  readonly policy: (host: string) => string | null;
}

/** What the two policies mean for the first packet of a TCP connection: open at both ends, or not. */
export function expectedPath(question: PathQuestion): {
  readonly open: boolean;
  readonly wouldBlock: boolean;
} {
  const out = decide(question, "out");
  const into = decide(question, "in");
  return {
    open: out !== "blocked" && into !== "blocked",
    wouldBlock: out === "potentially-blocked" || into === "potentially-blocked",
  };
}

function decide(
  question: PathQuestion,
  direction: "in" | "out",
): "allowed" | "blocked" | "potentially-blocked" {
  const text = question.policy(direction === "out" ? question.from.name : question.to.name);
  if (text === null) return "allowed";
  const policy: Policy = parsePolicy(text);
  const packet: Packet = {
    direction,
    loopback: false,
    family: 4,
    protocol: 6,
    source: parseAddress(question.from.address),
    destination: parseAddress(question.to.address),
    sourcePort: 50_000,
    destinationPort: question.port,
    icmpType: null,
    icmpCode: null,
    hopLimit: 64,
    state: "new",
    reply: false,
    reset: false,
    cut: false,
    protected: false,
    originalDestination: null,
    originalPort: null,
  };
  return evaluate(policy, packet).verdict;
}
