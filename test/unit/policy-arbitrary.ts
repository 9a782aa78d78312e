import type { PolicyDocument, RuleDocument, ServiceDocument } from "@antenna/sdk";
import fc from "fast-check";

/** Policy documents over few names and addresses, so that duplicates, overlaps and absorption happen all the time. */

const octet = fc.constantFrom(0, 1, 2, 3, 127, 128, 255);

const block4 = fc.tuple(octet, octet, fc.integer({ min: 9, max: 32 })).map(([third, fourth, prefix]) => {
  const address = (10 * 2 ** 24 + third * 256 + fourth) >>> 0;
  const masked = (address & (prefix === 32 ? 0xffffffff : ~(0xffffffff >>> prefix))) >>> 0;
  return `${masked >>> 24}.${(masked >>> 16) & 255}.${(masked >>> 8) & 255}.${masked & 255}/${prefix}`;
});

const block6 = fc.tuple(octet, fc.constantFrom(16, 64, 112, 128)).map(([group, prefix]) => {
  if (prefix === 16) return "fd00::/16";
  if (prefix === 64) return `fd00:0:0:${group.toString(16)}::/64`;
  return prefix === 112 ? `fd00::${group.toString(16)}:0/112` : `FD00:0::${group.toString(16)}:1`;
});

export const memberText: fc.Arbitrary<string> = fc.oneof(
  { weight: 5, arbitrary: block4 },
  { weight: 4, arbitrary: block6 },
  { weight: 1, arbitrary: fc.constantFrom("0.0.0.0/0", "::/0", "10.0.0.1", "64:ff9b::192.0.2.33") },
);

export const memberTexts: fc.Arbitrary<string[]> = fc.array(memberText, { maxLength: 40 });

const setNames = [
  "web",
  "db",
  "app servers",
  "__proto__",
  "constructor",
  "-j ACCEPT",
  "$(reboot)",
  "é",
  "a.b[0]",
];

const portText = fc.oneof(
  fc.integer({ min: 1, max: 20 }),
  fc.integer({ min: 1, max: 65535 }).map(String),
  fc
    .tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 9 }))
    .map(([from, more]) => `${from}-${from + more}`),
);

const service: fc.Arbitrary<ServiceDocument> = fc.oneof(
  fc.record({
    protocol: fc.constantFrom("tcp", "udp", 17, "sctp"),
    ports: fc.array(portText, { minLength: 1, maxLength: 5 }),
  }),
  fc.record({
    protocol: fc.constantFrom("icmp", "icmpv6", 1),
    type: fc.integer({ min: 0, max: 3 }),
    code: fc.constantFrom(0, 1),
  }),
  fc.record({ protocol: fc.constantFrom("icmp", 58), type: fc.integer({ min: 0, max: 3 }) }),
  fc.record({ protocol: fc.constantFrom("tcp", "icmp", "esp", 47, 253) }),
);

const services = fc.array(service, { minLength: 1, maxLength: 6 });

function rule(names: readonly string[]): fc.Arbitrary<Omit<RuleDocument, "id">> {
  const common = {
    direction: fc.constantFrom("in" as const, "out" as const),
    peers: fc.array(fc.constantFrom(...names, "any"), { minLength: 1, maxLength: 4 }),
  };
  return fc.oneof(
    fc.record(
      { ...common, action: fc.constantFrom("allow" as const), services, secure: fc.boolean() },
      { requiredKeys: ["direction", "peers", "action"] },
    ),
    fc.record(
      { ...common, action: fc.constantFrom("deny" as const, "override-deny" as const), services },
      { requiredKeys: ["direction", "peers", "action"] },
    ),
  );
}

/** As JSON would hold it: plain objects with own keys, `__proto__` among them. */
export const policyDocument: fc.Arbitrary<PolicyDocument> = fc.subarray(setNames).chain((names) =>
  fc.record(
    {
      version: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom("2.7", "1.9007199254740991")),
      mode: fc.constantFrom("idle" as const, "visibility" as const, "selective" as const, "full" as const),
      visibility: fc.constantFrom("blocked" as const, "blocked+allowed" as const, "enhanced" as const),
      reject: fc.boolean(),
      sets: fc
        .array(memberTexts, { minLength: names.length, maxLength: names.length })
        .map((members) => new Map(names.map((name, i) => [name, members[i] ?? []]))),
      rules: fc
        .array(rule(names), { maxLength: 6 })
        .map((rules) => rules.map((each, i) => ({ id: `rule ${i} --jump`, ...each }))),
      enforce: fc.array(service, { maxLength: 4 }),
      identities: fc.constantFrom({}, { "10.0.2.7": "db-1.antenna", "fd00::1": "C=CH, CN=x" }),
    },
    { requiredKeys: ["mode", "sets"] },
  ),
);

/** The JSON text of a document. Maps become objects, by a way that takes `__proto__` for a key like any other. */
export function documentText(document: PolicyDocument): string {
  return JSON.stringify(document, (_, value: unknown) => (value instanceof Map ? objectOf(value) : value));
}

function objectOf(map: ReadonlyMap<unknown, unknown>): object {
  const object = {};
  for (const [key, value] of map) {
    Object.defineProperty(object, String(key), { value, enumerable: true, configurable: true });
  }
  return object;
}
