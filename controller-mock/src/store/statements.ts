import type { StoreChange, WorkloadRecord } from "../store-port.js";
import type { Statement } from "./database-messages.js";

/**
 * Changes of one transaction as SQL: rows of one table together, since a statement costs many times what a row costs. Of
 * what is inserted or replaced several times the last one counts; events keep their order.
 */
export function statementsOf(changes: readonly StoreChange[]): readonly Statement[] {
  const workloads = new Map<string, object>();
  const issued = new Map<string, object>();
  const events: object[] = [];
  const single: Statement[] = [];
  for (const change of changes) {
    switch (change.kind) {
      case "workload":
        workloads.set(change.workload.id, workloadRow(change.workload));
        break;
      case "issued":
        for (const { workload, version, digest, revision } of change.issued)
          issued.set(workload, { workload, ...version, digest, revision });
        break;
      case "event":
        events.push(change.event);
        break;
      default:
        single.push(singleStatement(change));
    }
  }
  // What was issued names its workload.
  return [
    ...inParts([...workloads.values()], workloadsSql),
    ...inParts([...issued.values()], issuedSql),
    ...single,
    ...inParts(events, eventsSql),
  ];
}

/** Rows of a statement: their JSON is held three times while it is executed. */
const mostRows = 500;

function inParts(rows: readonly object[], sql: string): readonly Statement[] {
  const parts: Statement[] = [];
  for (let at = 0; at < rows.length; at += mostRows) {
    const numbered = rows.slice(at, at + mostRows).map((row, place) => ({ ...row, place }));
    parts.push({ sql, parameters: [json(numbered)] });
  }
  return parts;
}

/**
 * PostgreSQL has no place for U+0000 and for halves of surrogate pairs, neither in text nor (escaped) in jsonb. What an agent
 * says must never make a write fail: they become U+FFFD.
 */
function storable(text: string): string {
  return text.replace(/[\0\p{Cs}]/gu, "\uFFFD");
}

/** JSON of a value, without what jsonb refuses. */
function json(value: unknown): string {
  const text = JSON.stringify(value);
  if (!unstorable.test(text)) return text;
  return JSON.stringify(value, (_, item: unknown) => (typeof item === "string" ? storable(item) : item));
}

/** JSON writes what is not storable as an escape; an escaped backslash before such digits is looked at in vain. */
const unstorable = /\\u(?:0000|d[89a-f])/;

function workloadRow(workload: WorkloadRecord): object {
  const { lastSeen, issued: _, ...rest } = workload;
  return { ...rest, last_seen: lastSeen };
}

type SingleChange = Exclude<StoreChange, { readonly kind: "workload" | "issued" | "event" }>;

function singleStatement(change: SingleChange): Statement {
  const { sql, parameters } = rawStatement(change);
  return {
    sql,
    parameters: parameters.map((value) => (typeof value === "string" ? storable(value) : value)),
  };
}

function rawStatement(change: SingleChange): Statement {
  switch (change.kind) {
    case "key": {
      const { key } = change;
      return upsert("key", {
        id: key.id,
        secret_hash: key.secretHash,
        labels: json(key.labels),
        uses: key.uses,
        used: key.used,
        created: key.created,
        expires: key.expires,
        addresses: json(key.addresses),
        delegate: json(key.delegate),
        revoked: key.revoked,
      });
    }
    case "revision": {
      const { revision, time, state, of } = change.revision;
      return upsert("revision", { revision, time, state, of, text: change.text }, "revision");
    }
    case "revision-state":
      return {
        sql: "update revision set state = $2 where revision = $1",
        parameters: [change.revision, change.state],
      };
    case "rollout":
      return {
        sql: "insert into rollout (state) values ($1) on conflict (one) do update set state = excluded.state",
        parameters: [change.rollout],
      };
  }
}

/** Columns with their types, in the order of the table. */
const workloadColumns = [
  ...[
    ["id", "text"],
    ["name", "text"],
    ["host", "text"],
    ["state", "text"],
    ["fingerprint", "text"],
  ],
  ...[
    ["pairing", "text"],
    ["key", "text"],
    ["ranges", "jsonb"],
    ["delegate", "jsonb"],
    ["labels", "jsonb"],
  ],
  ...[
    ["claims", "jsonb"],
    ["tokens", "jsonb"],
    ["paired", "timestamptz"],
    ["last_seen", "timestamptz"],
  ],
  ["reported", "jsonb"],
] as const;
const issuedColumns = [
  ...[
    ["workload", "text"],
    ["epoch", "bigint"],
    ["sequence", "bigint"],
    ["digest", "text"],
  ],
  ["revision", "bigint"],
] as const;
const eventColumns = [
  ...[
    ["time", "timestamptz"],
    ["type", "text"],
    ["workload", "text"],
    ["address", "text"],
  ],
  ["message", "text"],
] as const;

const workloadsSql = `${insertRows("workload", workloadColumns)} ${onConflict("id", workloadColumns)}`;
const issuedSql = `${insertRows("issued", issuedColumns)} ${onConflict("workload", issuedColumns)}`;
const eventsSql = insertRows("event", eventColumns);

type Columns = readonly (readonly string[])[];

/** Takes the rows as one parameter, a JSON list of objects; numbered, so that they are stored in their order. */
function insertRows(table: string, columns: Columns): string {
  const names = columns.map(([name]) => name).join(", ");
  const types = columns.map(([name, type]) => `${name} ${type}`).join(", ");
  return `insert into ${table} (${names}) select ${names}
          from (select * from jsonb_to_recordset($1::jsonb) as given (${types}, place integer) order by place) as row`;
}

function onConflict(key: string, columns: Columns): string {
  const changes = columns.filter(([name]) => name !== key).map(([name]) => `${name} = excluded.${name}`);
  return `on conflict (${key}) do update set ${changes.join(", ")}`;
}

function upsert(
  table: string,
  row: Readonly<Record<string, Statement["parameters"][number]>>,
  key = "id",
): Statement {
  const columns = Object.keys(row);
  const places = columns.map((_, at) => `$${at + 1}`);
  const changes = columns
    .filter((column) => column !== key)
    .map((column) => `${column} = excluded.${column}`);
  return {
    sql: `insert into ${table} (${columns.join(", ")}) values (${places.join(", ")})
          on conflict (${key}) do update set ${changes.join(", ")}`,
    parameters: Object.values(row),
  };
}
