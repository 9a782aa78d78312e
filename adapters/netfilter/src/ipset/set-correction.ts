import { AddressSet, type Family, type ProgramSet, type SetChange } from "@antenna/sdk";
import { type KernelMember, KernelMembers } from "./kernel-members.js";
import { knowsPorts } from "./set-type.js";

/** What the kernel sets of both families lack, and what they have too much. */
export interface MemberDifferences {
  readonly family: Family;
  readonly missing: readonly KernelMember[];
  readonly extra: readonly KernelMember[];
}

/**
 * The same in the form of a program; null: it cannot be said so. That form has no block within another, and only ports of
 * protocols that have some.
 */
export function setCorrection(
  kind: ProgramSet["kind"],
  found: readonly MemberDifferences[],
): SetChange | null {
  const added = programSet(
    kind,
    found.map(({ family, missing }) => [family, missing]),
  );
  const removed = programSet(
    kind,
    found.map(({ family, extra }) => [family, extra]),
  );
  return added === null || removed === null ? null : { added, removed };
}

type Listing = readonly [family: Family, members: readonly KernelMember[]];

function programSet(kind: ProgramSet["kind"], listings: readonly Listing[]): ProgramSet | null {
  const builders = new Map<number, ReturnType<typeof AddressSet.builder>>();
  for (const [family, members] of listings) {
    for (const { words, prefix, protocol, port } of members) {
      if (kind === "peers" ? protocol !== 0 || port !== 0 : !knowsPorts(protocol)) return null;
      const service = protocol * portsOfProtocol + port;
      const builder = builders.get(service) ?? AddressSet.builder();
      builders.set(service, builder);
      builder.addWords(family, withoutHostBits(words, prefix), prefix);
    }
  }
  const set = assembled(kind, builders);
  return listings.every(([family, members]) => isExactly(set, family, members)) ? set : null;
}

const portsOfProtocol = 0x10000;

function assembled(
  kind: ProgramSet["kind"],
  builders: ReadonlyMap<number, ReturnType<typeof AddressSet.builder>>,
): ProgramSet {
  if (kind === "peers") return { kind, members: builders.get(0)?.build() ?? AddressSet.empty };
  const parts = [...builders].map(([service, builder]) => ({
    members: builder.build(),
    protocol: Math.floor(service / portsOfProtocol),
    ports: [service % portsOfProtocol],
  }));
  return { kind, parts };
}

/** Every one of them, and nothing else: normal form may have swallowed some. */
function isExactly(set: ProgramSet, family: Family, members: readonly KernelMember[]): boolean {
  const said = new KernelMembers(set, family);
  if (said.size !== members.length) return false;
  return members.every(({ words, prefix, protocol, port }) => said.find(words, prefix, protocol, port) >= 0);
}

/** A block is built without them; one that has some is not found again. */
function withoutHostBits(words: Uint32Array, prefix: number): Uint32Array {
  return words.map((word, index) => {
    const bits = Math.min(32, Math.max(0, prefix - index * 32));
    return bits === 0 ? 0 : word & (-1 << (32 - bits));
  });
}
