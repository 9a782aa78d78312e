import { AntennaError } from "../../error.js";
import { AddressSet } from "../../policy/address-set.js";
import type { Blocks } from "../../policy/blocks.js";
import type { PolicyDelta } from "../../policy/delta.js";
import { policyDocumentWithoutSets } from "../../policy/format.js";
import type { Policy, Version } from "../../policy/model.js";
import { formatVersion } from "../../policy/version.js";
import { blockLength, packBlocks } from "./packed-blocks.js";
import { headerBytes, type PackedChange, type PolicyHeader, type PolicyPart } from "./policy-part.js";
import { protocolLimits } from "./protocol-limits.js";

/** What the header of a policy says beside its content. */
export interface PolicySeal {
  readonly version: Version;
  /** `sha256:…` of the policy that results. */
  readonly digest: string;
  /** Made by `signPolicy`; empty for a preview. */
  readonly proof: Uint8Array;
  readonly probation: boolean;
}

/**
 * A policy or delta in parts, each made when it is asked for, so that a slow receiver holds one. Of each set at least the
 * name is told.
 *
 * @param maxBytes of an encoded part; a header that alone is larger is a part of its own.
 * @throws AntennaError `input-refused` when the rules alone are more than a message may hold.
 */
export function* policyParts(
  content: Policy | PolicyDelta,
  seal: PolicySeal,
  maxBytes: number = protocolLimits.part,
): Generator<PolicyPart, void, undefined> {
  let header: PolicyHeader | null = headerOf(content, seal);
  let room = maxBytes - endBytes - checkedHeaderBytes(header);
  let changes: PackedChange[] = [];
  for (const [name, change] of setChanges(content)) {
    const stretches = new Stretches(name, change);
    do {
      if (stretches.leastBytes > room && (changes.length > 0 || header !== null)) {
        yield { header, changes, last: false };
        [header, changes, room] = [null, [], maxBytes - endBytes];
      }
      const next = stretches.take(room);
      changes.push(next.change);
      room -= next.bytes;
    } while (!stretches.isDone);
  }
  yield { header, changes, last: true };
}

/** The whole content as one part, for a preview. */
export function policyPart(content: Policy | PolicyDelta, seal: PolicySeal): PolicyPart {
  const [part] = policyParts(content, seal, Number.POSITIVE_INFINITY);
  return part as PolicyPart;
}

function checkedHeaderBytes(header: PolicyHeader): number {
  const bytes = headerBytes(header);
  const most = protocolLimits.message - endBytes;
  if (bytes <= most) return bytes;
  const problem = `rules, enforced services and identities take ${bytes} bytes; ${most} is the most that an agent takes`;
  throw new AntennaError({
    code: "input-refused",
    operation: `send policy ${formatVersion(header.version)}`,
    message: problem,
    problems: [{ path: "rules", problem }],
  });
}

function headerOf(content: Policy | PolicyDelta, seal: PolicySeal): PolicyHeader {
  const isDelta = "base" in content;
  return {
    ...seal,
    base: isDelta ? content.base : null,
    rest: isDelta ? content.rest : policyDocumentWithoutSets(content),
    removedSets: isDelta ? content.removedSets : [],
  };
}

function* setChanges(
  content: Policy | PolicyDelta,
): Generator<[string, { readonly added: AddressSet; readonly removed: AddressSet }], void, undefined> {
  if ("base" in content) yield* content.sets;
  else for (const [name, added] of content.sets) yield [name, { added, removed: AddressSet.empty }];
}

/** What is left of one list of a change. */
interface Stretch {
  readonly key: keyof Omit<PackedChange, "name">;
  readonly blocks: Blocks;
}

/** The four lists of a set's change, taken off from the front. */
class Stretches {
  readonly #name: string;
  readonly #lists: readonly Stretch[];
  readonly #overhead: number;
  #list = 0;
  #from = 0;
  /** True when everything was taken. */
  isDone = false;

  constructor(name: string, change: { readonly added: AddressSet; readonly removed: AddressSet }) {
    this.#name = name;
    this.#overhead = Buffer.byteLength(name, "utf8") + changeBytes;
    this.#lists = [
      { key: "removed4", blocks: change.removed.v4 },
      { key: "removed6", blocks: change.removed.v6 },
      { key: "added4", blocks: change.added.v4 },
      { key: "added6", blocks: change.added.v6 },
    ];
  }

  /** Below this there is no use in beginning. */
  get leastBytes(): number {
    return this.#overhead + 17;
  }

  /** What fits into `room`, one block at least. */
  take(room: number): { readonly change: PackedChange; readonly bytes: number } {
    const packed: Partial<Record<Stretch["key"], Uint8Array>> = {};
    let bytes = this.#overhead;
    for (; this.#list < this.#lists.length; this.#list++, this.#from = 0) {
      const { key, blocks } = this.#lists[this.#list] as Stretch;
      const length = blockLength(blocks.width);
      const left = blocks.prefix.length - this.#from;
      const fits = Math.max(bytes === this.#overhead ? 1 : 0, Math.floor((room - bytes) / length));
      const count = Math.min(left, fits);
      if (count > 0) packed[key] = packBlocks(blocks, this.#from, this.#from + count);
      bytes += count * length;
      this.#from += count;
      if (count < left) break;
    }
    this.isDone = this.#list === this.#lists.length;
    const change = { name: this.#name, ...noChange, ...packed };
    return { change, bytes };
  }
}

const noBytes = new Uint8Array(0);
const noChange = { added4: noBytes, added6: noBytes, removed4: noBytes, removed6: noBytes };
/** Tag and length of a change, of its name and of its four lists, at their longest. */
const changeBytes = 6 * 6;
/** What a part costs beside its changes: the tags and lengths around it, and `last`. */
const endBytes = 16;
