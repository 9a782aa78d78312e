import {
  type Address,
  type Agent,
  AntennaError,
  type Direction,
  type ExplainQuestion,
  type Explanation,
  formatVersion,
  type Policy,
  type Problem,
  parseAddress,
  policyChunks,
  policyDigest,
  portProtocols,
  protocolName,
  protocolNumber,
  readPolicyStream,
  type Service,
} from "@antenna/sdk";
import type { ControlCall, ControlHandler } from "@antenna/sdk/control-socket";
import type { PolicyOutline } from "../commands/policy.js";
import type {
  ContextAnswer,
  ExplainDocument,
  ForeignRule,
  PolicyPreviewDocument,
  StatusDocument,
} from "../documents.js";

export interface ControlHandlerOptions {
  /** null while the agent is still opening. */
  readonly agent: () => Agent | null;
  readonly status: () => Promise<StatusDocument>;
  /** Whether packets of this peer pass the loopback interface. */
  readonly isOwnAddress: (peer: Address) => Promise<boolean>;
  /** The owner's own rules that decide about such a packet, which our own rules judged so. */
  readonly foreign: (question: ExplainQuestion, ours: Explanation) => Promise<readonly ForeignRule[]>;
  /** Takes everything out; the daemon stops afterwards. */
  readonly purge: () => Promise<unknown>;
}

/** What the control socket answers. Everything that comes in is checked here; a path is never taken from outside. */
export function controlHandler(options: ControlHandlerOptions): ControlHandler {
  const methods: Readonly<Record<string, (call: ControlCall) => Promise<unknown>>> = {
    status: async (call) => {
      const document = await options.status();
      const point = findPoint(document, call);
      return point === null ? document : { ...document, ...point, points: [point] };
    },
    context: async (): Promise<ContextAnswer> => {
      const { link, workload, daemon } = await options.status();
      const context = agentOf(options).context();
      return { workload, context, controller: link.controller, namespace: daemon.namespace };
    },
    policy: async (call) => {
      for await (const text of policyChunks(policyOf(options, call))) await call.write(text);
      return null;
    },
    "policy-outline": async (call) => outline(policyOf(options, call)),
    "policy-preview": (call) => preview(agentOf(options), call),
    explain: async (call): Promise<ExplainDocument> => {
      findPoint(await options.status(), call);
      const asked = readQuestion(call.params);
      const question = { ...asked, loopback: await options.isOwnAddress(asked.peer) };
      const explanation = agentOf(options).explain(question);
      return { ...explanation, foreign: await options.foreign(question, explanation) };
    },
    verify: async (call) => {
      findPoint(await options.status(), call);
      return await agentOf(options).verify({ signal: call.signal });
    },
    suspend: async (call) => {
      await agentOf(options).suspend({ signal: call.signal });
      return { state: agentOf(options).status().state };
    },
    resume: async (call) => {
      await agentOf(options).resume({ signal: call.signal });
      return { state: agentOf(options).status().state };
    },
    purge: () => options.purge(),
  };
  return (call) => {
    const method = Object.hasOwn(methods, call.method) ? methods[call.method] : undefined;
    if (method === undefined)
      throw refused([{ path: "method", problem: `${call.method} is unknown to this daemon` }]);
    return method(call);
  };
}

function agentOf(options: ControlHandlerOptions): Agent {
  const agent = options.agent();
  if (agent !== null) return agent;
  throw new AntennaError({
    code: "busy",
    operation: "answer",
    message: "the daemon is still starting; try again",
  });
}

/** The point that `--workload` names; null: the host, which is the document itself. Unknown: refused. */
function findPoint(document: StatusDocument, call: ControlCall): StatusDocument["points"][number] | null {
  const { workload = null } = call.params;
  if (workload === null || workload === document.workload) return null;
  const point = document.points.find(
    (candidate) => candidate.workload === workload || candidate.name === workload,
  );
  if (point !== undefined) return point;
  throw new AntennaError({
    code: "unsupported",
    operation: "find a workload",
    message: `${JSON.stringify(workload)} is unknown here; known are ${document.points.map(({ name }) => name).join(", ")}`,
  });
}

function policyOf(options: ControlHandlerOptions, call: ControlCall): Policy {
  const agent = agentOf(options);
  const { workload = null } = call.params;
  const status = agent.status();
  const known = status.points.some((point) => point.workload === workload || point.name === workload);
  if (workload !== null && workload !== status.workload && !known) {
    throw new AntennaError({
      code: "unsupported",
      operation: "find a workload",
      message: `${JSON.stringify(workload)} is unknown here`,
    });
  }
  const policy = agent.policy();
  if (policy !== null) return policy;
  throw new AntennaError({
    code: "unsupported",
    operation: "show the policy",
    message: "there is no policy yet",
  });
}

async function preview(agent: Agent, call: ControlCall): Promise<PolicyPreviewDocument> {
  const policy = await readPolicyStream(call.body, { signal: call.signal });
  const examples = call.params.all === true ? Number.MAX_SAFE_INTEGER : 20;
  return await agent.preview(policy, { signal: call.signal, examples });
}

function outline(policy: Policy): PolicyOutline {
  return {
    version: policy.version === null ? "-" : formatVersion(policy.version),
    digest: policyDigest(policy),
    mode: policy.mode,
    visibility: policy.visibility,
    reject: policy.reject,
    sets: [...policy.sets].map(([name, members]) => ({ name, members: members.size })),
    rules: policy.rules.map((rule) => ({
      id: rule.id,
      direction: rule.direction,
      action: rule.action,
      peers: rule.peers,
      services: serviceWords(rule.services),
      secure: rule.secure,
    })),
    enforce: policy.mode === "selective" ? serviceWords(policy.enforce) : "",
  };
}

function serviceWords(services: readonly Service[] | null): string {
  if (services === null) return "everything";
  return services
    .map(({ protocol, ports, icmpType, icmpCode }) => {
      const narrow = [
        ...(ports ?? []).map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)),
        ...(icmpType === null ? [] : [icmpCode === null ? `${icmpType}` : `${icmpType}/${icmpCode}`]),
      ];
      return narrow.length === 0 ? protocolName(protocol) : `${protocolName(protocol)} ${narrow.join(",")}`;
    })
    .join("; ");
}

/** A question from outside, every part checked. */
export function readQuestion(params: Readonly<Record<string, unknown>>): ExplainQuestion {
  const problems: Problem[] = [];
  const refuse = (path: string, problem: string): void => void problems.push({ path, problem });
  const direction = readDirection(params.direction);
  if (direction === null) refuse("direction", `${show(params.direction)} is neither in nor out`);
  const protocol = readProtocol(params.protocol);
  if (protocol === null) refuse("protocol", `${show(params.protocol)} is no protocol name or number (1-255)`);
  const peer = readPeer(params.peer);
  if (peer === null) refuse("peer", `${show(params.peer)} is not an IPv4 or IPv6 address`);
  const [port, icmpType, icmpCode] = (
    [
      ["port", 1, 65_535],
      ["type", 0, 255],
      ["code", 0, 255],
    ] as const
  ).map(([name, from, to]) => {
    const value = params[name] ?? null;
    if (value === null) return null;
    if (typeof value === "number" && Number.isInteger(value) && value >= from && value <= to) return value;
    refuse(name, `${show(value)} is not a number from ${from} to ${to}`);
    return null;
  });
  if (protocol !== null && problems.length === 0) {
    const ported = portProtocols.has(protocol);
    if (ported && port === null) refuse("port", `${protocolName(protocol)} has ports: which one`);
    if (!ported && port !== null) refuse("port", `${protocolName(protocol)} has no ports`);
    const isIcmp = protocol === 1 || protocol === 58;
    if (!isIcmp && (icmpType !== null || icmpCode !== null))
      refuse("type", "only icmp and icmpv6 have types and codes");
    if (icmpCode !== null && icmpType === null) refuse("code", "a code needs a type");
  }
  if (problems.length > 0 || direction === null || protocol === null || peer === null)
    throw refused(problems);
  return {
    direction,
    protocol,
    peer,
    port: port ?? null,
    icmpType: icmpType ?? null,
    icmpCode: icmpCode ?? null,
  };
}

function readDirection(value: unknown): Direction | null {
  return value === "in" || value === "out" ? value : null;
}

function readProtocol(value: unknown): number | null {
  if (typeof value !== "string") return null;
  if (!/^\d{1,3}$/.test(value)) return protocolNumber(value);
  const number = Number(value);
  return number >= 1 && number <= 255 ? number : null;
}

function readPeer(value: unknown): Uint8Array | null {
  if (typeof value !== "string") return null;
  try {
    return parseAddress(value);
  } catch {
    return null;
  }
}

function show(value: unknown): string {
  if (typeof value === "number") return String(value);
  return typeof value === "string" ? JSON.stringify(value.slice(0, 60)) : "nothing";
}

function refused(problems: readonly Problem[]): AntennaError {
  return new AntennaError({
    code: "input-refused",
    operation: "read the request",
    message: problems.map(({ path, problem }) => `${path}: ${problem}`).join("; "),
    problems,
  });
}
