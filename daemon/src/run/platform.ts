import {
  type Address,
  AntennaError,
  type ContextSource,
  type ExplainQuestion,
  type PacketFilterProvider,
} from "@antenna/sdk";
import type { ForeignRule } from "../documents.js";

/** A rule of somebody else's, for telling people. */
export interface OwnerRule {
  readonly program: string;
  readonly table: string;
  readonly chain: string;
  /** 1 for the first rule of its chain, ours not counted. */
  readonly position: number;
  readonly text: string;
}

/** What this operating system brings. */
export interface Platform {
  /** To be spread into the options of `createAgent`. */
  readonly ports: { readonly packetFilter: PacketFilterProvider };
  /** What tells a controller who this host is. Loaded when asked for: a host without a controller has no use for it. */
  context(options: { readonly cloud: boolean }): Promise<ContextSource>;
  /** Whether an address is one of the namespace's own. */
  isOwnAddress(namespace: string | null, address: Address): Promise<boolean>;
  /** The owner's rules that stop such a packet although we allow it, and those of which that is not known. */
  foreignRules(
    namespace: string | null,
    question: ExplainQuestion,
    ours: { readonly accepted: boolean },
  ): Promise<readonly ForeignRule[]>;
  /** Every rule that is not ours; `unread` names programs whose rules this user may not see. */
  ownerRules(
    namespace: string | null,
  ): Promise<{ readonly rules: readonly OwnerRule[]; readonly unread: readonly string[] }>;
  /** Those of the rules that keep something of their own in a bit of the connection mark. */
  markUsers(rules: readonly OwnerRule[], bit: number): readonly OwnerRule[];
}

/** The only place that asks which operating system this is; what it brings is loaded here and nowhere else. */
export async function platform(): Promise<Platform> {
  if (process.platform === "linux") {
    const { isOwnAddress, linuxHost, markUsers, ownerRules, readForeignRules } = await import(
      "@antenna/linux"
    );
    return {
      ports: linuxHost(),
      context: async (options) => (await import("@antenna/host")).hostContext(options),
      ownerRules,
      markUsers,
      isOwnAddress,
      foreignRules: (namespace, question, { accepted }) => {
        const {
          direction,
          protocol,
          peer,
          port,
          icmpType = null,
          icmpCode = null,
          loopback = false,
        } = question;
        const packet = { direction, protocol, peer, port, icmpType, icmpCode, loopback };
        return readForeignRules({ namespace, ...packet, accepted });
      },
    };
  }
  throw new AntennaError({
    code: "unsupported",
    operation: "start",
    message: `there is no packet filter for ${process.platform} in this version; Linux has one`,
  });
}
