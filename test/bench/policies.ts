/** Policy documents (JSON) for the benchmarks; made from counters, so that every run measures the same. */

/** 10.a.b.c from a running number. */
export function hostAddress(index: number): string {
  return `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
}

/** One allow rule for one port over one set of `members` hosts; `salt` moves the whole set elsewhere, `extra` are further members. */
export function oneSetPolicy(members: number, port: number, extra: readonly string[] = [], salt = 0): string {
  const addresses = Array.from({ length: members }, (_, index) =>
    hostAddress(0x100000 + salt * 0x100000 + index),
  );
  return JSON.stringify({
    mode: "full",
    sets: { peers: [...addresses, ...extra] },
    rules: [
      {
        id: "peers-in",
        direction: "in",
        action: "allow",
        peers: ["peers"],
        services: [{ protocol: "tcp", ports: [port] }],
      },
    ],
  });
}

/** 2,000 rules over 200 sets of 50 members; the one that matches the client stands last. */
export function manyRulesPolicy(client: string, port: number): string {
  const sets: Record<string, string[]> = {};
  for (let set = 0; set < 200; set++) {
    sets[`s${set}`] = Array.from({ length: 50 }, (_, index) => hostAddress(0x200000 + set * 50 + index));
  }
  sets.s199?.push(client);
  const rules = Array.from({ length: 2000 }, (_, index) => ({
    id: `r${index}`,
    direction: "in",
    action: "allow",
    peers: [`s${index % 200}`],
    services: [{ protocol: "tcp", ports: [index === 1999 ? port : 10_000 + index] }],
  }));
  return JSON.stringify({ mode: "full", sets, rules });
}

/** 1,000 blocks of 20 prefix lengths (13 to 32), the client's network among the last. */
export function prefixesPolicy(client: string, port: number): string {
  const blocks = Array.from({ length: 999 }, (_, index) => {
    const length = 13 + (index % 20);
    const step = 2 ** (32 - length);
    const base = 0x14000000 + Math.floor(index / 20) * 0x80000 * 2;
    const address = (Math.floor(base / step) * step) >>> 0;
    return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}/${length}`;
  });
  return JSON.stringify({
    mode: "full",
    sets: { blocks: [...new Set(blocks), `${client}/32`] },
    rules: [
      {
        id: "blocks-in",
        direction: "in",
        action: "allow",
        peers: ["blocks"],
        services: [{ protocol: "tcp", ports: [port] }],
      },
    ],
  });
}
