import { AntennaError } from "@antenna/sdk";
import type {
  ClaimRecord,
  IssuedRecord,
  PairingKeyRecord,
  ReportRecord,
  RevisionRecord,
  StoredEvent,
  WorkloadRecord,
} from "../store-port.js";
import type { Row } from "./database-messages.js";

// Rows as records. The columns' types are the schema's: what is of another type was written by somebody else.

export function keyOfRow(row: Row): PairingKeyRecord {
  return {
    id: text(row, "id"),
    secretHash: text(row, "secret_hash"),
    labels: json(row, "labels"),
    uses: number(row, "uses"),
    used: number(row, "used"),
    created: time(row, "created"),
    expires: time(row, "expires"),
    addresses: json(row, "addresses"),
    delegate: json(row, "delegate"),
    revoked: row.revoked === true,
  };
}

/** Of `workload left join issued`. */
export function workloadOfRow(row: Row): WorkloadRecord {
  return {
    id: text(row, "id"),
    name: text(row, "name"),
    host: row.host === null ? null : text(row, "host"),
    state: text(row, "state") as WorkloadRecord["state"],
    fingerprint: text(row, "fingerprint"),
    pairing: text(row, "pairing"),
    key: text(row, "key"),
    ranges: json(row, "ranges"),
    delegate: json(row, "delegate"),
    labels: json(row, "labels"),
    claims: json<readonly ClaimRecord[]>(row, "claims"),
    tokens: json(row, "tokens"),
    paired: time(row, "paired"),
    lastSeen: row.last_seen === null ? null : time(row, "last_seen"),
    reported: row.reported === null ? null : json<ReportRecord>(row, "reported"),
    issued: issuedOfRow(row),
  };
}

function issuedOfRow(row: Row): IssuedRecord | null {
  if (row.epoch === null) return null;
  return {
    version: { epoch: number(row, "epoch"), sequence: number(row, "sequence") },
    digest: text(row, "digest"),
    revision: number(row, "revision"),
  };
}

export function revisionOfRow(row: Row): RevisionRecord {
  return {
    revision: number(row, "revision"),
    time: time(row, "time"),
    state: text(row, "state") as RevisionRecord["state"],
    of: row.of === null ? null : number(row, "of"),
  };
}

export function eventOfRow(row: Row): StoredEvent {
  return {
    id: number(row, "id"),
    time: time(row, "time"),
    type: text(row, "type"),
    workload: row.workload === null ? null : text(row, "workload"),
    address: row.address === null ? null : text(row, "address"),
    message: text(row, "message"),
  };
}

export function number(row: Row, column: string): number {
  const value = row[column];
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  throw unexpected(column);
}

function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value === "string") return value;
  throw unexpected(column);
}

function time(row: Row, column: string): string {
  const value = row[column];
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
  throw unexpected(column);
}

/** Written by `statements.ts` of a record of this very type. */
function json<T>(row: Row, column: string): T {
  const value = row[column];
  if (typeof value === "object" && value !== null) return value as T;
  throw unexpected(column);
}

function unexpected(column: string): AntennaError {
  const message = `the column ${column} holds something else than was written; restore the newest backup`;
  return new AntennaError({ code: "corrupt", operation: "read the database", message });
}
