/** The hosts of the story: who they are and what they listen on. */
export const hosts = {
  web1: { address: "10.77.0.10", ports: [80, 22] },
  app1: { address: "10.77.0.20", ports: [8080, 22] },
  db1: { address: "10.77.0.30", ports: [5432, 22] },
  outsider: { address: "10.77.0.99", ports: [22] },
} as const;

export type HostName = keyof typeof hosts;
/** Hosts with an agent; the outsider has none and stands for the rest of the world. */
export type ManagedName = Exclude<HostName, "outsider">;
export const managed: readonly ManagedName[] = ["web1", "app1", "db1"];

export const controllerAddress = "10.77.0.2";
/** Joins in the middle of the story. */
export const newcomer = { name: "web2", address: "10.77.0.11", ports: [80, 22] } as const;
/** Where web1 moves to. */
export const movedAddress = "10.77.0.12";

/** The role of a host is its name without the number. */
export function roleOf(name: string): string {
  return name.replace(/\d+$/, "");
}

export interface PolicyOptions {
  readonly mode: "visibility" | "full";
  /** app may reach the database; the rule that the story revokes. */
  readonly database: boolean;
  /** web may also reach app on port 22; the rule that the story adds under load. */
  readonly maintenance: boolean;
}

/** The label policy: everyone reaches web, web reaches app, app reaches db. */
export function labelPolicy({ mode, database, maintenance }: PolicyOptions): string {
  return [
    "services:",
    "  web: [{ protocol: tcp, ports: [80] }]",
    "  http: [{ protocol: tcp, ports: [8080] }]",
    "  postgres: [{ protocol: tcp, ports: [5432] }]",
    "  ssh: [{ protocol: tcp, ports: [22] }]",
    "rulesets:",
    "  - name: shop",
    "    scope: { app: shop }",
    "    rules:",
    "      - { from: { ipList: any }, to: { role: web }, services: [web] }",
    "      - { from: { role: web }, to: { role: app }, services: [http] }",
    ...(maintenance ? ["      - { from: { role: web }, to: { role: app }, services: [ssh] }"] : []),
    ...(database ? ["      - { from: { role: app }, to: { role: db }, services: [postgres] }"] : []),
    "enforcement:",
    `  - { match: { app: shop }, mode: ${mode} }`,
    "",
  ].join("\n");
}

/** A mistake that somebody makes one day: no path of the application is left. */
export const badPolicy = [
  "rulesets:",
  "  - name: lockdown",
  "    rules:",
  "      - { from: {}, to: {}, action: override-deny }",
  "enforcement:",
  "  - { match: { app: shop }, mode: full }",
  "",
].join("\n");

/** What the label policy says of a new TCP connection between two hosts, in the words of the story. */
export function allows(from: string, to: string, port: number, options: PolicyOptions): boolean {
  const [source, target] = [roleOf(from), roleOf(to)];
  // Everyone may ask web, but a host with an agent may only open what names it.
  if (target === "web" && port === 80) return source === "outsider";
  if (source === "web" && target === "app") return port === 8080 || (port === 22 && options.maintenance);
  if (source === "app" && target === "db") return port === 5432 && options.database;
  // A host without an agent lets everything through; the other end's agent decides.
  return false;
}
