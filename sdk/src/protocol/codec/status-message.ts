import { antenna } from "#antenna.v1";
import { type EnforcementMode, enforcementModes, type Version } from "../../policy/model.js";
import type { OfferOutcome } from "../../ports.js";
import type { SyncState } from "../../reconcile/sync-state.js";
import type { FieldReader } from "./field-reader.js";
import { protocolLimits } from "./protocol-limits.js";
import { shorten } from "./words-for-people.js";

const { OfferResult } = antenna.v1;

/** How enforcement stands, as it is told: an EnforcementReport without what stays on the host. */
export interface StatusMessage {
  readonly state: SyncState;
  /** null before any policy. */
  readonly mode: EnforcementMode | null;
  /** In force and confirmed. */
  readonly applied: { readonly version: Version; readonly digest: string } | null;
  /** A newer agent may have codes that nobody here knows. */
  readonly problems: readonly { readonly code: string; readonly message: string }[];
  readonly refused: OfferOutcome | null;
}

export function writeStatus(status: StatusMessage): antenna.v1.StatusReport.$Properties {
  const { state, mode, applied, problems, refused } = status;
  return {
    state,
    mode: mode ?? "",
    ...(applied === null ? {} : { applied: applied.version, appliedDigest: applied.digest }),
    problems: problems.slice(0, protocolLimits.problems).map(({ code, message }) => ({
      code: shorten(code, protocolLimits.name),
      message: shorten(message, protocolLimits.words),
    })),
    ...(refused === null
      ? {}
      : {
          refused: {
            version: refused.version,
            result: wireResults[refused.result],
            reason: shorten(refused.reason, protocolLimits.reason),
          },
        }),
  };
}

export function readStatus(
  reader: FieldReader,
  path: string,
  value: antenna.v1.StatusReport.$Properties | null | undefined,
): StatusMessage {
  if (value === null || value === undefined) reader.refuse(path, "is missing");
  const { applied, refused } = value ?? {};
  return {
    state: reader.oneOf(`${path}.state`, value?.state, states),
    mode: isEmpty(value?.mode) ? null : reader.oneOf(`${path}.mode`, value?.mode, modes),
    applied:
      applied === null || applied === undefined
        ? null
        : {
            version: reader.version(`${path}.applied`, applied),
            digest: reader.digest(`${path}.appliedDigest`, value?.appliedDigest),
          },
    problems: reader.list(`${path}.problems`, value?.problems, protocolLimits.problems, (problem, at) => ({
      code: reader.words(`${at}.code`, problem.code, protocolLimits.name),
      message: reader.words(`${at}.message`, problem.message, protocolLimits.words),
    })),
    refused:
      refused === null || refused === undefined ? null : readOutcome(reader, `${path}.refused`, refused),
  };
}

function readOutcome(
  reader: FieldReader,
  path: string,
  value: antenna.v1.OfferOutcome.$Properties,
): OfferOutcome {
  const result = results.find((each) => wireResults[each] === value.result);
  if (result === undefined) reader.refuse(`${path}.result`, `is ${value.result ?? 0}, which is no result`);
  return {
    version: reader.version(`${path}.version`, value.version),
    result: result ?? "refused",
    reason: reader.words(`${path}.reason`, value.reason, protocolLimits.reason),
  };
}

const results: readonly OfferOutcome["result"][] = ["refused", "rolled-back", "interrupted"];
const wireResults: Readonly<Record<OfferOutcome["result"], antenna.v1.OfferResult>> = {
  refused: OfferResult.OFFER_RESULT_REFUSED,
  "rolled-back": OfferResult.OFFER_RESULT_ROLLED_BACK,
  interrupted: OfferResult.OFFER_RESULT_INTERRUPTED,
};

const states: readonly [SyncState, ...SyncState[]] = [
  "starting",
  "settling",
  "applying",
  "in-sync",
  "degraded",
  "rolled-back",
  "suspended",
  "idle",
];
const modes: readonly [EnforcementMode, ...EnforcementMode[]] = ["idle", ...enforcementModes];

function isEmpty(text: string | null | undefined): boolean {
  return text === null || text === undefined || text === "";
}
