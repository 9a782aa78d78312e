import { AntennaError } from "@antenna/sdk";
import type { AdmittedAddress, WorkloadFacts } from "../compute/facts.js";
import type { WorkloadRecord } from "../store-port.js";

/** The records of the workloads, in memory what the store holds. */
export class WorkloadList {
  readonly #records: Map<string, WorkloadRecord>;

  constructor(records: readonly WorkloadRecord[]) {
    this.#records = new Map(records.map((record) => [record.id, record]));
  }

  get size(): number {
    return this.#records.size;
  }

  get(id: string): WorkloadRecord | null {
    return this.#records.get(id) ?? null;
  }

  put(record: WorkloadRecord): void {
    this.#records.set(record.id, record);
  }

  /** Each with its id. */
  all(): readonly WorkloadRecord[] {
    return Array.from(this.#records.values());
  }

  /** Hosts before their containers, by name. */
  sorted(): readonly WorkloadRecord[] {
    return this.all().toSorted((a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id));
  }

  /**
   * By id, or by a name that one workload has.
   *
   * @throws AntennaError `unsupported` when there is none, or the name is not one workload's.
   */
  find(idOrName: string): WorkloadRecord {
    const byId = this.#records.get(idOrName);
    if (byId !== undefined) return byId;
    const named = this.all().filter(({ name, state }) => name === idOrName && state === "active");
    const [only] = named;
    if (only !== undefined && named.length === 1) return only;
    const ids = named.map(({ id }) => id).join(", ");
    throw new AntennaError({
      code: "unsupported",
      operation: `find workload ${JSON.stringify(idOrName.slice(0, 100))}`,
      message:
        only === undefined
          ? "there is no such workload; `antenna-controller workloads` lists them"
          : `several workloads have this name; use an id: ${ids}`,
    });
  }
}

/** What policies are computed from. */
export function factsOf(record: WorkloadRecord): WorkloadFacts {
  const { id, host, labels } = record;
  return { id, host, labels: new Map(Object.entries(labels)), addresses: admittedOf(record) };
}

/** True when policies can't differ between the two. */
export function sameFacts(a: WorkloadRecord, b: WorkloadRecord): boolean {
  const key = (record: WorkloadRecord) =>
    JSON.stringify([Object.entries(record.labels).sort(), admittedOf(record), record.host]);
  return key(a) === key(b);
}

function admittedOf({ claims }: WorkloadRecord): readonly AdmittedAddress[] {
  return claims.filter(({ state }) => state === "admitted").map(({ address, scope }) => ({ address, scope }));
}
