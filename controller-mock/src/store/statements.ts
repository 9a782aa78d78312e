import type { StoreChange } from "../store-port.js";
import type { Statement } from "./database-messages.js";

/** A change as SQL. */
export function statementOf(change: StoreChange): Statement {
  const { sql, parameters } = rawStatementOf(change);
  return {
    sql,
    parameters: parameters.map((value) => (typeof value === "string" ? storable(value) : value)),
  };
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
  return JSON.stringify(value, (_, item: unknown) => (typeof item === "string" ? storable(item) : item));
}

function rawStatementOf(change: StoreChange): Statement {
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
    case "workload": {
      const { workload } = change;
      return upsert("workload", {
        id: workload.id,
        name: workload.name,
        host: workload.host,
        state: workload.state,
        fingerprint: workload.fingerprint,
        pairing: workload.pairing,
        key: workload.key,
        ranges: json(workload.ranges),
        delegate: json(workload.delegate),
        labels: json(workload.labels),
        claims: json(workload.claims),
        tokens: json(workload.tokens),
        paired: workload.paired,
        last_seen: workload.lastSeen,
        reported: workload.reported === null ? null : json(workload.reported),
      });
    }
    case "issued": {
      const rows = change.issued.map(({ workload, version, digest, revision }) => ({
        workload,
        epoch: version.epoch,
        sequence: version.sequence,
        digest,
        revision,
      }));
      return {
        sql: `insert into issued (workload, epoch, sequence, digest, revision)
              select workload, epoch, sequence, digest, revision from jsonb_to_recordset($1::jsonb)
                as row (workload text, epoch bigint, sequence bigint, digest text, revision bigint)
              on conflict (workload) do update set epoch = excluded.epoch, sequence = excluded.sequence,
                digest = excluded.digest, revision = excluded.revision`,
        parameters: [json(rows)],
      };
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
    case "event": {
      const { time, type, workload, address, message } = change.event;
      return {
        sql: "insert into event (time, type, workload, address, message) values ($1, $2, $3, $4, $5)",
        parameters: [time, type, workload, address, message],
      };
    }
  }
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
