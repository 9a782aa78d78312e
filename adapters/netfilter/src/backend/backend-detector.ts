import { linkedBackend } from "./iptables-programs.js";
import type { LegacyTable } from "./legacy-table.js";
import type { NftTable } from "./nft-table.js";
import type { Backend } from "./rule-table.js";

/** Which backend holds the host's rules; ours do not count. */
export class BackendDetector {
  readonly #nft: NftTable;
  readonly #legacy: LegacyTable;

  constructor(nft: NftTable, legacy: LegacyTable) {
    this.#nft = nft;
    this.#legacy = legacy;
  }

  /**
   * The backend that alone holds rules of others. Where both do, or neither, the one that is in use stays in use; before
   * the first use the distribution's link decides, then nft.
   */
  async detect(inUse: Backend | null): Promise<Backend> {
    const settled = inUse ?? linkedBackend() ?? "nft";
    const other = settled === "nft" ? "legacy" : "nft";
    // The other one first: as a rule it is empty, and the answer then costs next to nothing.
    if ((await this.#foreign(other)) === 0) return settled;
    return (await this.#foreign(settled)) === 0 ? other : settled;
  }

  async #foreign(backend: Backend): Promise<number> {
    return await (backend === "nft" ? this.#nft : this.#legacy).countForeign();
  }
}
