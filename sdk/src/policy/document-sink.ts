/**
 * What every form of a document (JSON, YAML, a value in memory) is reduced to: events in the order of the document.
 * Texts come as UTF-8 bytes `[start, end)` of a buffer that is reused after the call, so that a set of 500,000 members
 * passes through without a string per member. `complete` is false when a text was longer than `policyLimits.textBytes`
 * and only its beginning is given.
 */
export interface DocumentSink {
  beginMap(): void;
  key(bytes: Uint8Array, start: number, end: number, complete: boolean): void;
  endMap(): void;
  beginList(): void;
  endList(): void;
  text(bytes: Uint8Array, start: number, end: number, complete: boolean): void;
  /** A number as it is written: `7`, `2.10` and `7.0` are three things to a version. */
  number(text: string): void;
  boolean(value: boolean): void;
  nothing(): void;
  /** A value that this form can express and a policy cannot hold, with the reason. */
  misfit(problem: string): void;
  /** A key that is no text, as it is shown, with the reason. Its value follows. */
  misfitKey(shown: string, problem: string): void;
}
