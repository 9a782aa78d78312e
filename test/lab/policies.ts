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

export interface PolicyOptions {
  readonly mode: "visibility" | "full";
  /** app1 may reach the database; the rule that the story revokes. */
  readonly database: boolean;
  /** app1 may also be asked on port 22 by web1; the rule that the story adds under load. */
  readonly maintenance: boolean;
}

/** The policy file of one workload: web1 serves everyone, app1 serves web1, db1 serves app1. */
export function policyOf(name: ManagedName, { mode, database, maintenance }: PolicyOptions): string {
  const rules: Record<ManagedName, readonly string[]> = {
    web1: [
      "{ id: world-to-web, direction: in, action: allow, peers: [any], services: [{ protocol: tcp, ports: [80] }] }",
      "{ id: web-to-app, direction: out, action: allow, peers: [app], services: [{ protocol: tcp, ports: [8080] }] }",
      ...(maintenance
        ? [
            "{ id: web-to-app-ssh, direction: out, action: allow, peers: [app], services: [{ protocol: tcp, ports: [22] }] }",
          ]
        : []),
    ],
    app1: [
      "{ id: web-to-app, direction: in, action: allow, peers: [web], services: [{ protocol: tcp, ports: [8080] }] }",
      "{ id: app-to-db, direction: out, action: allow, peers: [db], services: [{ protocol: tcp, ports: [5432] }] }",
      ...(maintenance
        ? [
            "{ id: web-to-app-ssh, direction: in, action: allow, peers: [web], services: [{ protocol: tcp, ports: [22] }] }",
          ]
        : []),
    ],
    db1: database
      ? [
          "{ id: app-to-db, direction: in, action: allow, peers: [app], services: [{ protocol: tcp, ports: [5432] }] }",
        ]
      : [],
  };
  return [
    `mode: ${mode}`,
    "visibility: blocked+allowed",
    "sets:",
    `  web: ["${hosts.web1.address}"]`,
    `  app: ["${hosts.app1.address}"]`,
    `  db: ["${hosts.db1.address}"]`,
    rules[name].length === 0 ? "rules: []" : "rules:",
    ...rules[name].map((rule) => `  - ${rule}`),
    "",
  ].join("\n");
}
