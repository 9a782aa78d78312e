/** A value that goes as a parameter or comes as a column. jsonb goes as JSON text and comes parsed. */
export type SqlValue = string | number | boolean | null;
export type Row = Readonly<Record<string, unknown>>;

export interface Statement {
  readonly sql: string;
  readonly parameters: readonly SqlValue[];
}

/** What the thread with the database is asked; answers come in the order of the requests. */
export type DatabaseRequest =
  | { readonly kind: "transaction"; readonly statements: readonly Statement[] }
  | { readonly kind: "query"; readonly statement: Statement }
  /** Copies the files of the database, consistent, to a directory that is made. */
  | { readonly kind: "copy"; readonly target: string }
  | { readonly kind: "close" };

export type DatabaseAnswer =
  | { readonly ok: true; readonly rows: readonly Row[] }
  | {
      readonly ok: false;
      readonly message: string;
      /** It is whole, and written by a newer version of this program. */
      readonly isNewer: boolean;
    };

export interface DatabaseStart {
  readonly directory: string;
  /** Makes a new one in it; else what is there is opened or refused, and never made anew. */
  readonly isNew: boolean;
}
