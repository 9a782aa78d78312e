import { formatAddress, type SyncState, type WorkloadContext } from "@antenna/sdk";
import type {
  IssuedIdentity,
  PairRequestMessage,
  PairResponseMessage,
  PolicyKey,
  RenewRequestMessage,
  RenewResponseMessage,
  SessionRequestMessage,
  SessionResponseMessage,
  StatusMessage,
  Trust,
} from "@antenna/sdk/protocol";
import fc from "fast-check";

/** What agents and controllers say, except policies, at random. */

function bytes(minLength: number, maxLength: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength, maxLength });
}

/** Text that prints: what is read is what was written. */
const words = fc.string({ unit: "grapheme-ascii", maxLength: 40 });
const name = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 30 });
const optionalName = fc.option(name, { nil: null });
const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length });
const workload = hex(32).map((digits) => `w-${digits}`);
const count = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.maxSafeInteger().map((n) => Math.max(1, Math.abs(n))),
);
const version = fc.record({ epoch: count, sequence: count });
const digest = hex(64).map((digits) => `sha256:${digits}`);
const time = fc.date({
  min: new Date("0001-01-01T00:00:00Z"),
  max: new Date("9999-12-31T23:59:59.999Z"),
  noInvalidDate: true,
});

const policyKey: fc.Arbitrary<PolicyKey> = fc.record({
  id: bytes(16, 16),
  publicKey: bytes(32, 32),
  vouched: fc.option(fc.record({ by: bytes(16, 16), signature: bytes(64, 64) }), { nil: null }),
});
const certificates = fc.array(bytes(1, 200), { minLength: 1, maxLength: 3 });
const trust: fc.Arbitrary<Trust> = fc.record({
  roots: certificates,
  policyKeys: fc.array(policyKey, { minLength: 1, maxLength: 3 }),
});
const identity: fc.Arbitrary<IssuedIdentity> = fc
  .tuple(certificates, trust)
  .map(([certificateChain, rest]) => ({ certificateChain, ...rest }));

const state = fc.constantFrom<SyncState>(
  ...([
    "starting",
    "settling",
    "applying",
    "in-sync",
    "degraded",
    "rolled-back",
    "suspended",
    "idle",
  ] as const),
);
const status: fc.Arbitrary<StatusMessage> = fc.record({
  state,
  mode: fc.constantFrom(null, "idle" as const, "visibility" as const, "selective" as const, "full" as const),
  applied: fc.option(fc.record({ version, digest }), { nil: null }),
  problems: fc.array(fc.record({ code: name, message: words }), { maxLength: 4 }),
  refused: fc.option(
    fc.record({
      version,
      result: fc.constantFrom("refused" as const, "rolled-back" as const, "interrupted" as const),
      reason: words.map((text) => `one\n${text}`),
    }),
    { nil: null },
  ),
});

const address = fc
  .oneof(
    bytes(4, 4),
    bytes(16, 16).filter((raw) => raw[0] !== 0),
  )
  .map(formatAddress);
const prefixOf = (text: string) => (text.includes(":") ? 128 : 32);

export const context: fc.Arbitrary<WorkloadContext> = fc.record({
  hostname: name,
  os: fc.record({ name, version: name, kernel: name, arch: fc.constantFrom("x64", "arm64") }),
  virtualization: optionalName,
  addresses: fc.array(
    fc
      .record({
        address,
        bits: fc.nat(),
        interface: name,
        scope: fc.constantFrom("routable" as const, "host" as const, "virtual" as const),
      })
      .map(({ bits, ...rest }) => ({ ...rest, prefix: bits % (prefixOf(rest.address) + 1) })),
    { maxLength: 5 },
  ),
  services: fc.array(
    fc.record({
      protocol: fc.constantFrom("tcp", "udp", "sctp", "253"),
      address: fc.oneof(address, fc.constantFrom("0.0.0.0", "::")),
      port: fc.integer({ min: 1, max: 65_535 }),
      process: optionalName,
      user: optionalName,
    }),
    { maxLength: 5 },
  ),
  cloud: fc.option(
    fc.record({
      provider: fc.constantFrom("aws" as const, "azure" as const, "gcp" as const, "openstack" as const),
      instance: words,
      region: words,
      zone: words,
      tags: fc
        .array(fc.tuple(fc.oneof(name, fc.constantFrom("__proto__", "constructor")), words), { maxLength: 4 })
        .map((tags) => Object.fromEntries(tags)),
    }),
    { nil: null },
  ),
});

export const pairRequest: fc.Arbitrary<PairRequestMessage> = fc.record({
  keyId: name,
  secret: bytes(1, 64),
  certificateRequest: bytes(1, 300),
  hostname: words,
});

export const pairResponse: fc.Arbitrary<PairResponseMessage> = fc
  .tuple(workload, identity)
  .map(([id, rest]) => ({ workload: id, ...rest }));

export const renewRequest: fc.Arbitrary<RenewRequestMessage> = fc.oneof(
  fc.record({
    kind: fc.constant("start" as const),
    certificate: bytes(1, 300),
    certificateRequest: bytes(1, 300),
    token: bytes(0, 64),
  }),
  fc.record({ kind: fc.constant("proof" as const), signature: bytes(1, 80) }),
  fc.constant({ kind: "unknown" as const }),
);

export const renewResponse: fc.Arbitrary<RenewResponseMessage> = fc.oneof(
  fc.record({ kind: fc.constant("challenge" as const), nonce: bytes(32, 32) }),
  identity.map((rest) => ({ kind: "renewed" as const, ...rest })),
  fc.constant({ kind: "unknown" as const }),
);

const previewResult = fc.oneof(
  name.map((text) => ({ document: JSON.stringify({ text }), problem: null })),
  name.map((problem) => ({ document: null, problem })),
);

export const sessionRequest: fc.Arbitrary<SessionRequestMessage> = fc.oneof(
  fc.record({
    kind: fc.constant("hello" as const),
    revision: fc.integer({ min: 1, max: 9 }),
    agentVersion: words,
    capabilities: fc.array(name, { maxLength: 4 }),
    token: bytes(0, 64),
    status,
    floor: fc.option(version, { nil: null }),
    credit: fc.integer({ min: 1, max: 65_536 }),
  }),
  fc.record({ kind: fc.constant("context" as const), sequence: count, full: fc.boolean(), facts: context }),
  fc.record({
    kind: fc.constant("context" as const),
    sequence: count,
    full: fc.constant(false),
    facts: context.chain(({ addresses, services, cloud }) =>
      fc.record(
        { addresses: fc.constant(addresses), services: fc.constant(services), cloud: fc.constant(cloud) },
        { requiredKeys: [] },
      ),
    ),
  }),
  fc.record({ kind: fc.constant("status" as const), status }),
  fc.record({ kind: fc.constant("snapshot-request" as const), reason: words }),
  fc.record({ kind: fc.constant("pong" as const), nonce: bytes(0, 64) }),
  fc.tuple(fc.nat(), previewResult).map(([id, result]) => ({ kind: "preview" as const, id, ...result })),
  fc.record({
    kind: fc.constant("event" as const),
    type: fc.constantFrom("drift-repaired", "budget"),
    time,
    message: words,
  }),
  fc.record({ kind: fc.constant("credit" as const), chunks: fc.integer({ min: 1, max: 65_536 }) }),
  fc.constant({ kind: "unknown" as const }),
);

export const sessionResponse: fc.Arbitrary<SessionResponseMessage> = fc.oneof(
  fc.record({
    kind: fc.constant("welcome" as const),
    revision: fc.integer({ min: 1, max: 9 }),
    workload,
    token: bytes(0, 64),
    time,
    trust,
    heartbeatMs: fc.integer({ min: 100, max: 60_000 }),
  }),
  fc.record({ kind: fc.constant("ping" as const), nonce: bytes(0, 64) }),
  fc.record({ kind: fc.constant("trust" as const), trust }),
  fc.constant({ kind: "unknown" as const }),
);
