import { quote } from "./address.js";
import type { DocumentReader, Expectation } from "./document-reader.js";

export function expectOneOf<Word extends string>(
  reader: DocumentReader,
  words: readonly Word[],
  done: (word: Word) => void,
): Expectation {
  return {
    what: `one of ${words.join(", ")}`,
    text: (value) => {
      const word = words.find((candidate) => candidate === value);
      if (word === undefined) reader.problem(`${quote(value)} is none of ${words.join(", ")}`);
      else done(word);
    },
  };
}

export function expectBoolean(done: (value: boolean) => void): Expectation {
  return { what: "true or false", boolean: done };
}
