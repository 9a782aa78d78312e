import type { EntryKey, TupleInput } from "./entry-key.js";

/** New mark of an entry: bits under `mask` become those of `value`, all others stay. */
export interface MarkChange {
  readonly key: EntryKey;
  readonly value: number;
  /** Bits to write; the kernel changes no other. */
  readonly mask: number;
}

/** An entry to be made. */
export interface NewEntry {
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly original: TupleInput;
  readonly reply: TupleInput;
  /** Default 0. */
  readonly zone?: number;
  /** Bits as in `status`; the kernel insists on `confirmed`. NAT bits are refused by it. */
  readonly status: number;
  readonly timeoutSeconds: number;
  /** Default 0. */
  readonly mark?: number;
  /** Required by the kernel for TCP; without flags or window scales later packets are INVALID. */
  readonly tcp?: {
    readonly state: number;
    readonly flagsOriginal?: number;
    readonly flagsReply?: number;
    readonly windowScaleOriginal?: number;
    readonly windowScaleReply?: number;
  };
}

/** One step of `Conntrack.write`. */
export type EntryOperation =
  | { readonly do: "mark"; readonly change: MarkChange }
  | { readonly do: "create"; readonly entry: NewEntry }
  /** Of this very entry; see `Conntrack.delete`. */
  | { readonly do: "delete"; readonly key: EntryKey; readonly id: number };
