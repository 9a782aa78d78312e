import { compareVersions, type EnforcementReport, type Version } from "@antenna/sdk";
import type { Issued, Unsettled } from "./rollout-state.js";

/** A workload, as its rollout goes. */
export class RolloutMember {
  readonly workload: string;
  issued: Issued | null;
  /** As in `Unsettled`. */
  since: Version | null;
  interruptions: number;
  ahead: boolean;
  online = false;
  /** When it was last seen to go, in milliseconds. */
  offlineSince: number;
  /** Its operator took the rules out: it confirms nothing, and nobody waits for it. */
  suspended = false;
  /** The highest version that it told of. */
  highest: Version | null = null;
  /** The outcome that was told last, as one text. */
  told = "";

  constructor(workload: string, issued: Issued | null, unsettled: Unsettled | null, nowMs: number) {
    this.workload = workload;
    this.issued = issued;
    this.since = unsettled?.since ?? null;
    this.interruptions = unsettled?.interruptions ?? 0;
    this.ahead = unsettled?.ahead ?? false;
    this.offlineSince = nowMs;
  }

  /** null: nothing to keep. */
  unsettled(): Unsettled | null {
    const { since, interruptions, ahead } = this;
    return since === null && !ahead ? null : { since, interruptions, ahead };
  }

  /** What it was issued stands, whatever revision that comes from. */
  settle(): void {
    this.since = null;
    this.interruptions = 0;
  }

  /** Takes in how enforcement stands, and that it confirmed what it was on probation with. */
  observe(report: EnforcementReport): void {
    this.suspended = report.state === "suspended";
    const applied = report.applied?.version ?? null;
    this.highest = later(this.highest, later(report.floor, applied));
    if (this.since !== null && applied !== null && compareVersions(applied, this.since) >= 0) this.settle();
  }

  /** True: it tells of more than it was ever given; `most` was given to anyone. */
  tellsOfMore(report: EnforcementReport, most: Version): boolean {
    const { floor, applied } = report;
    const told = later(floor, applied?.version ?? null);
    if (told === null) return false;
    const { issued } = this;
    // Who was never given anything may bring a version from before it was paired.
    if (compareVersions(told, issued?.version ?? most) > 0) return true;
    return (
      issued !== null &&
      applied !== null &&
      compareVersions(applied.version, issued.version) === 0 &&
      applied.digest !== issued.digest
    );
  }

  /** True: the version it was issued is in force on it; one with other content it cannot have, see `tellsOfMore`. */
  has({ applied }: EnforcementReport): boolean {
    const { issued } = this;
    return issued !== null && applied !== null && compareVersions(applied.version, issued.version) === 0;
  }

  /** True while a wave waits for it: it has not confirmed, and is connected, or gone for less than the window. */
  isAwaited(nowMs: number, windowMs: number): boolean {
    if (this.since === null || this.ahead || this.suspended) return false;
    return this.online || this.offlineSince + windowMs > nowMs;
  }
}

function later(a: Version | null, b: Version | null): Version | null {
  if (a === null || b === null) return a ?? b;
  return compareVersions(a, b) >= 0 ? a : b;
}
