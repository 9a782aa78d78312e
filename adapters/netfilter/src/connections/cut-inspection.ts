import type { Clock } from "@antenna/sdk";
import { type Conntrack, type Entry, pickedUp } from "netfilter-conntrack";
import type { CutList } from "./cut-list.js";
import { isRenewable } from "./cut-repair.js";
import { flowKey } from "./flow-entry.js";
import { isOther, isOver, type KeptCut, observe } from "./kept-cut.js";
import type { OverwriteReports } from "./overwrite-reports.js";
import { clear, isOneWay, severedEntries } from "./severed-flow.js";

/** An event that still did not come so long after it was first missed does not come: others were read meanwhile. */
const eventMs = 20;

export interface CutInspectionOptions {
  readonly conntrack: Conntrack;
  readonly cutMark: number;
  readonly clock: Clock;
  readonly list: CutList;
  readonly reports: OverwriteReports;
}

/** What was found of flows that are kept cut, as far as something is to be done about it. */
export interface Findings {
  /** There is no entry. */
  readonly gone: KeptCut[];
  /** The flow's own entry has lost the mark. */
  readonly overwritten: KeptCut[];
  /** The mark is to be written: on an entry that took the place of the flow's own, or to learn whether it gives events. */
  readonly unmarked: KeptCut[];
  /** The entry carries the mark, but gives no events: nobody listened when it was born. */
  readonly silent: KeptCut[];
  /** Another flow has the tuple, one that the policy judged. */
  readonly strangers: KeptCut[];
  /** Its one-way entries are not there. */
  readonly rejoined: KeptCut[];
}

/** Reads what became of the entries of flows that are kept cut. Writes nothing but what is over. */
export class CutInspection {
  readonly #conntrack: Conntrack;
  readonly #cutMark: number;
  readonly #clock: Clock;
  readonly #list: CutList;
  readonly #reports: OverwriteReports;

  constructor(options: CutInspectionOptions) {
    this.#conntrack = options.conntrack;
    this.#cutMark = options.cutMark;
    this.#clock = options.clock;
    this.#list = options.list;
    this.#reports = options.reports;
  }

  /** Asks for one flow after the other. */
  async some(flows: readonly KeptCut[]): Promise<Findings> {
    const findings = nothingFound();
    for (const kept of flows) {
      if (!this.#list.has(kept)) continue;
      if (kept.severed) await this.#meetSevered(kept, findings);
      else {
        const entry = await this.#conntrack.get(flowKey(kept.flow));
        if (entry === null) findings.gone.push(kept);
        else this.#meet(kept, entry, findings);
      }
    }
    return findings;
  }

  /** One dump of the marked entries; gives the flows that it did not show to be well, too. */
  async all(): Promise<{ readonly findings: Findings; readonly missing: ReadonlySet<KeptCut> }> {
    const findings = nothingFound();
    const missing = new Set(this.#list);
    const halves = new Map<KeptCut, Entry["id"]>();
    const filter = { mark: { value: this.#cutMark, mask: this.#cutMark } };
    await this.#conntrack.dump(
      (entry) => {
        const kept = this.#list.byEntry(entry);
        if (kept === undefined) return;
        if (kept.severed) {
          if (this.#showsBothHalves(kept, entry, halves)) missing.delete(kept);
          return;
        }
        missing.delete(kept);
        this.#meet(kept, entry, findings);
      },
      { filter },
    );
    return { findings, missing };
  }

  #showsBothHalves(kept: KeptCut, entry: Entry, halves: Map<KeptCut, Entry["id"]>): boolean {
    if (kept.replaced || kept.destroyed || !isOneWay(entry)) return false;
    if (entry.timeout !== null) {
      kept.expiresAtMs = Math.max(kept.expiresAtMs, this.#clock.now() + entry.timeout * 1_000);
    }
    const other = halves.get(kept);
    halves.set(kept, entry.id);
    return kept.answerId === null || (other !== undefined && other !== entry.id);
  }

  /** An entry of the flow's tuple is there: is it the flow's, and does it carry the mark? */
  #meet(kept: KeptCut, entry: Entry, findings: Findings): void {
    const now = this.#clock.now();
    const anew = openedAnew(entry);
    const other = isOther(kept, entry) || (kept.replaced && anew);
    if (other && (isOver(kept, now) || anew)) {
      findings.strangers.push(kept);
      return;
    }
    // Gone before its time: somebody deleted it.
    if (other && now < kept.expiresAtMs) this.#reports.add(kept, "entry-deleted");
    this.#list.renumber(kept, () => observe(kept, entry, now));
    const marked = (entry.mark & this.#cutMark) !== 0;
    if (!marked && !other) findings.overwritten.push(kept);
    else if (!marked || !kept.probed) findings.unmarked.push(kept);
    else if (!kept.heard && isRenewable(kept)) {
      kept.silentSinceMs ??= now;
      if (now - kept.silentSinceMs >= eventMs) findings.silent.push(kept);
    }
  }

  async #meetSevered(kept: KeptCut, findings: Findings): Promise<void> {
    const entries = await severedEntries(this.#conntrack, kept.flow);
    const now = this.#clock.now();
    if (entries !== null) {
      const [first, answers] = entries;
      this.#list.renumber(kept, () => {
        if (first !== undefined) observe(kept, first, now);
        kept.answerId = answers?.id ?? null;
      });
      if (answers !== undefined) {
        kept.expiresAtMs = Math.max(kept.expiresAtMs, now + (answers.timeout ?? 0) * 1_000);
      }
    } else if (isOver(kept, now)) {
      await clear(this.#conntrack, kept.flow);
      this.#list.delete(kept);
    } else {
      // Somebody's deletion, or a direction in which nothing was sent for long enough while the other went on.
      findings.rejoined.push(kept);
    }
  }
}

function nothingFound(): Findings {
  return { gone: [], overwritten: [], unmarked: [], silent: [], strangers: [], rejoined: [] };
}

/** A TCP connection whose opening was seen is another one, and not the cut one picked up again. */
function openedAnew(entry: Entry): boolean {
  return entry.tcp !== null && !pickedUp(entry.tcp.flagsOriginal, entry.tcp.flagsReply);
}
