/** Plain SQL that PostgreSQL takes as it is. Each step is applied once, in its order; a step that was released is never changed. */
export const schemaSteps: readonly string[] = [
  `create table key (
     id text primary key, secret_hash text not null, labels jsonb not null, uses bigint not null, used bigint not null,
     created timestamptz not null, expires timestamptz not null, addresses jsonb not null, delegate jsonb not null,
     revoked boolean not null);
   create table workload (
     id text primary key, name text not null, host text, state text not null, fingerprint text not null,
     pairing text not null, key text not null, ranges jsonb not null, delegate jsonb not null, labels jsonb not null,
     claims jsonb not null, tokens jsonb not null, paired timestamptz not null, last_seen timestamptz, reported jsonb);
   create table issued (
     workload text primary key references workload (id) on delete cascade,
     epoch bigint not null, sequence bigint not null, digest text not null, revision bigint not null);
   create table revision (
     revision bigint primary key, time timestamptz not null, state text not null, of bigint, text text not null);
   create table rollout (one boolean primary key default true check (one), state text);
   create table event (
     id bigint generated always as identity primary key,
     time timestamptz not null, type text not null, workload text, address text, message text not null);
   create index event_time on event (time);
   create table counter (name text primary key, value bigint not null);
   insert into counter (name, value) values ('events-pruned', 0);`,
];

/** Where the number of applied steps is kept. */
export const schemaTable = "create table if not exists schema_step (step integer primary key)";

/** Every table of the last step, each with a primary key. */
export const schemaTables = ["key", "workload", "issued", "revision", "rollout", "event", "counter"] as const;
