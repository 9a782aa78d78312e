import { AntennaError } from "../error.js";
import { quote } from "./address.js";
import type { Version } from "./model.js";

/** A version from `sequence` or `epoch.sequence`; else why it is none. */
export type VersionReading = { readonly version: Version } | { readonly problem: string };

/**
 * Reads `epoch.sequence`, or `sequence` alone (epoch 1). Both from 1 to 2^53−1, decimal, without signs or leading zeros.
 */
export function readVersion(text: string): VersionReading {
  const match = /^(?:(\d+)\.)?(\d+)$/.exec(text);
  const [epoch, sequence] = [match?.[1] ?? "1", match?.[2]];
  if (sequence === undefined)
    return { problem: `${quote(text)} is not a version (sequence, or "epoch.sequence")` };
  const version = { epoch: readCount(epoch), sequence: readCount(sequence) };
  if (version.epoch > 0 && version.sequence > 0) return { version };
  return {
    problem: `${quote(text)} is not a version: epoch and sequence go from 1 to 2^53-1, without leading zeros`,
  };
}

/** @throws AntennaError `input-refused` */
export function parseVersion(text: string): Version {
  const reading = readVersion(text);
  if ("version" in reading) return reading.version;
  const { problem } = reading;
  const problems = [{ path: "", problem }];
  throw new AntennaError({ code: "input-refused", operation: "read a version", message: problem, problems });
}

export function formatVersion(version: Version): string {
  return `${version.epoch}.${version.sequence}`;
}

/** Negative: `a` is older. By epoch, then by sequence. */
export function compareVersions(a: Version, b: Version): number {
  return a.epoch === b.epoch ? a.sequence - b.sequence : a.epoch - b.epoch;
}

/** What was accepted last: the floor of versions. */
export interface AcceptedPolicy {
  readonly version: Version;
  readonly digest: string;
}

/**
 * The version under which an offered policy may come into force. One without a version counts on from the accepted one,
 * or keeps its version when the content is the same.
 *
 * @throws AntennaError `version-refused` for a lower version, or an equal one with another digest.
 */
export function admitVersion(
  offered: Version | null,
  digest: string,
  accepted: AcceptedPolicy | null,
): Version {
  if (accepted === null) return offered ?? { epoch: 1, sequence: 1 };
  const same = accepted.digest === digest;
  if (offered === null) {
    if (same) return accepted.version;
    if (accepted.version.sequence < Number.MAX_SAFE_INTEGER) {
      return { epoch: accepted.version.epoch, sequence: accepted.version.sequence + 1 };
    }
    throw refusal("the sequence is at its end; raise the epoch by giving the policy a version");
  }
  const order = compareVersions(offered, accepted.version);
  if (order > 0 || (order === 0 && same)) return offered;
  const floor = formatVersion(accepted.version);
  if (order < 0) {
    throw refusal(
      `${formatVersion(offered)} is lower than ${floor}, accepted before; give the policy a higher version`,
    );
  }
  throw refusal(`${floor} was accepted before with another content; give the policy a higher version`);
}

function refusal(message: string): AntennaError {
  const problems = [{ path: "version", problem: message }];
  return new AntennaError({
    code: "version-refused",
    operation: "admit a policy version",
    message,
    problems,
  });
}

/** 1 to 2^53−1 without leading zeros, or 0. */
function readCount(digits: string): number {
  const value = Number(digits);
  return digits.startsWith("0") || !Number.isSafeInteger(value) ? 0 : value;
}
