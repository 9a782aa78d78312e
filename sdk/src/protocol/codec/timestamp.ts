import type { google } from "#antenna.v1";
import { exactNumber, type FieldReader } from "./field-reader.js";

type Timestamp = google.protobuf.Timestamp.$Properties;

export function writeTime(time: Date): Timestamp {
  const milliseconds = time.getTime();
  const seconds = Math.floor(milliseconds / 1000);
  return { seconds, nanos: (milliseconds - seconds * 1000) * 1_000_000 };
}

/** From year 1 to 9999, as google.protobuf.Timestamp has it; to the millisecond. */
export function readTime(reader: FieldReader, path: string, value: Timestamp | null | undefined): Date {
  const seconds = exactNumber(value?.seconds);
  const nanos = value?.nanos ?? 0;
  const isValid =
    value !== null &&
    value !== undefined &&
    Number.isSafeInteger(seconds) &&
    seconds >= -62_135_596_800 &&
    seconds <= 253_402_300_799 &&
    nanos >= 0 &&
    nanos <= 999_999_999;
  if (isValid) return new Date(seconds * 1000 + Math.floor(nanos / 1_000_000));
  reader.refuse(path, "is not a time between the years 1 and 9999");
  return new Date(0);
}
