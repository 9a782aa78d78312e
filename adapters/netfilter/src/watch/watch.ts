import type { NetlinkTransport } from "@antenna/netlink";
import type {
  ChangeNotice,
  Clock,
  Difference,
  FilterDescription,
  Installed,
  Logger,
  VerifyScope,
} from "@antenna/sdk";
import { kernelError } from "../apply/kernel-error.js";
import { type KernelSets, type MeantSet, meantSets } from "../apply/kernel-sets.js";
import { families, type RuleKeeper } from "../apply/rule-keeper.js";
import type { LegacyTable } from "../backend/legacy-table.js";
import { GatheredTimers } from "./gathered-timers.js";
import { NftNotices } from "./nft-notices.js";
import { SpacedCheck } from "./spaced-check.js";

export interface WatchOptions {
  readonly keeper: RuleKeeper;
  readonly sets: KernelSets;
  readonly legacy: LegacyTable;
  readonly netlink: NetlinkTransport;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What is found is repaired 1.2 s after it was done: 200 ms are left for that. */
const rulesMs = 1_000;
const countsMs = 1_000;
/** Up to these sizes the limits of repair hold whatever a check costs on a busy machine. */
const smallTable = 2_500;
const smallSets = 120_000;
const membersMs = 48_000;
const mostMembersMs = 50_000;
const backendMs = 1_000;

/**
 * Notices that somebody changed what is ours. nft tells of every change; legacy tables and sets tell nobody and are
 * looked at, as often as their cost allows. What is found is only a reason to verify.
 */
export class Watch {
  readonly #options: WatchOptions;
  readonly #notices: NftNotices;
  readonly #checks: {
    readonly rules: SpacedCheck;
    readonly counts: SpacedCheck;
    readonly members: SpacedCheck;
    readonly backend: SpacedCheck;
  };
  #installed: Installed | null = null;
  #meant: readonly MeantSet[] = [];
  /** Members of all sets that are installed. */
  #members = 0;
  #onChange: (notice: ChangeNotice) => void = () => undefined;
  /** Writes of ours under way: what is read meanwhile is neither the old nor the new. */
  #writing = 0;
  /** Counts our writes, so that a check that one came into is thrown away. */
  #writes = 0;

  constructor(options: WatchOptions) {
    this.#options = options;
    const { netlink } = options;
    this.#notices = new NftNotices(netlink, options.clock, (notice) => this.#tell(notice));
    const clock = new GatheredTimers(options.clock);
    const check = (
      scope: VerifyScope,
      firstMs: number,
      mostMs: number,
      run: () => Promise<number | null>,
      isSmall: () => boolean = () => false,
    ) => new SpacedCheck({ clock, firstMs, mostMs, isSmall, run: () => this.#guarded(scope, run) });
    const hasSmallTable = () => options.legacy.entries <= smallTable;
    this.#checks = {
      rules: check("rules", rulesMs, Number.POSITIVE_INFINITY, () => this.#checkLegacy(), hasSmallTable),
      counts: check(
        "counts",
        countsMs,
        Number.POSITIVE_INFINITY,
        () => this.#checkCounts(),
        () => this.#members <= smallSets,
      ),
      members: check("members", membersMs, mostMembersMs, () => this.#checkMembers()),
      backend: check("rules", backendMs, Number.POSITIVE_INFINITY, () => this.#checkBackend()),
    };
  }

  get intervals(): FilterDescription["intervals"] {
    const { rules, counts, members } = this.#checks;
    const notified = this.#options.keeper.backend !== "legacy";
    return {
      rulesMs: notified ? null : rules.intervalMs,
      countsMs: counts.intervalMs,
      membersMs: members.intervalMs,
    };
  }

  start(installed: Installed | null, onChange: (notice: ChangeNotice) => void): void {
    this.#onChange = onChange;
    const before = this.#installed;
    this.#installed = installed;
    if (installed === null) {
      this.stop();
      return;
    }
    this.#meant = meantSets(installed);
    this.#members = this.#meant.reduce((sum, { size }) => sum + size, 0);
    if (before !== null) return;
    this.#notices.start();
    for (const check of Object.values(this.#checks)) check.start();
  }

  stop(): void {
    this.#installed = null;
    this.#notices.stop();
    for (const check of Object.values(this.#checks)) check.stop();
  }

  /** Our own write begins; it ends when the result is disposed. */
  pause(): Disposable {
    this.#writing++;
    this.#writes++;
    this.#notices.hold();
    return {
      [Symbol.dispose]: () => {
        this.#writing--;
        this.#notices.release();
      },
    };
  }

  /** A generation that a write of ours made. */
  ownGeneration(generation: number): void {
    this.#notices.own(generation);
  }

  #tell(notice: ChangeNotice): void {
    if (this.#installed !== null) this.#onChange(notice);
  }

  /**
   * Runs a check unless we write ourselves. One that fails says so by a notice of what it would have looked at: verifying
   * that tells why it can't be read, until it can.
   */
  async #guarded(scope: VerifyScope, run: () => Promise<number | null>): Promise<number | null> {
    if (this.#writing > 0 || this.#installed === null) return null;
    try {
      return await run();
    } catch (error) {
      const failure = kernelError(error, "check rules and sets");
      if (failure.code === "closed" || this.#installed === null) return null;
      this.#options.logger.debug({ error: failure }, "a check of the kernel's rules and sets failed");
      this.#tell({ scope, writer: null, reason: `a check failed: ${failure.message}` });
      return null;
    }
  }

  /** Each gives the milliseconds of work that it took. */
  async #checkLegacy(): Promise<number | null> {
    const { keeper, legacy } = this.#options;
    const installed = this.#installed;
    if (keeper.backend !== "legacy" || installed === null) return null;
    const began = performance.now();
    const changed: string[] = [];
    for (const family of families) {
      if (legacy.unchanged(family)) continue;
      const differences = keeper.compare(installed, family, legacy.readRegistered(family));
      changed.push(...differences.map((found) => `${found.object}: ${found.detail}`));
      if (differences.length === 0) legacy.remember(family);
    }
    const took = performance.now() - began;
    const [first, ...more] = changed;
    if (first !== undefined) {
      const reason = more.length === 0 ? first : `${first}; and ${more.length} more`;
      this.#tell({ scope: "rules", writer: null, reason });
    }
    return took;
  }

  async #checkCounts(): Promise<number | null> {
    const installed = this.#installed;
    if (installed === null) return null;
    const began = performance.now();
    const writes = this.#writes;
    const [found] = await this.#options.sets.countDifferences(this.#meant);
    const took = performance.now() - began;
    if (found !== undefined) this.#tellSet("counts", found, writes);
    return took;
  }

  async #checkMembers(): Promise<number | null> {
    const installed = this.#installed;
    if (installed === null) return null;
    const began = performance.now();
    const writes = this.#writes;
    for (const meant of this.#meant) {
      const [found] = await this.#options.sets.memberDifferences(meant);
      if (this.#writes !== writes) break;
      if (found !== undefined) this.#tellSet("members", found, writes);
    }
    return performance.now() - began;
  }

  /** What was read while we wrote ourselves is neither the old nor the new. */
  #tellSet(scope: "counts" | "members", found: Difference, writes: number): void {
    if (this.#writes !== writes) return;
    this.#tell({ scope, writer: null, reason: `${found.object}: ${found.detail}` });
  }

  async #checkBackend(): Promise<number | null> {
    const began = performance.now();
    const { keeper } = this.#options;
    await keeper.look();
    if (keeper.movedTo !== null) {
      this.#tell({
        scope: "rules",
        writer: null,
        reason: `the host's rules moved to iptables-${keeper.movedTo}`,
      });
    }
    return performance.now() - began;
  }
}
