import { crc32 } from "node:zlib";

/**
 * One record of a file of ours: 16 bytes of head, then the payload. Little-endian.
 *
 * | bytes | what |
 * |---|---|
 * | 0–3 | length of the payload |
 * | 4 | kind, of the caller |
 * | 5–7 | sequence of the record in its file, modulo 2^24 |
 * | 8–11 | CRC-32 of the payload |
 * | 12–15 | CRC-32 of bytes 0–11 |
 */
export const frameHeadBytes = 16;

export interface Frame {
  readonly kind: number;
  /** A view of the file's bytes. */
  readonly payload: Uint8Array;
}

/** The head and the payload's chunks, ready to be written in one call. */
export function writeFrame(
  kind: number,
  sequence: number,
  payload: readonly Uint8Array[],
): readonly Uint8Array[] {
  const head = Buffer.alloc(frameHeadBytes);
  let length = 0;
  let sum = 0;
  for (const chunk of payload) {
    length += chunk.byteLength;
    // Of an empty chunk without memory behind it zlib's crc32 answers 0, whatever the sum so far (Node 20.20).
    if (chunk.byteLength > 0) sum = crc32(chunk, sum);
  }
  head.writeUInt32LE(length, 0);
  head.writeUInt8(kind, 4);
  head.writeUIntLE(sequence & 0xffffff, 5, 3);
  head.writeUInt32LE(sum, 8);
  head.writeUInt32LE(crc32(head.subarray(0, 12)), 12);
  return [head, ...payload];
}

/** How the frames of a file end. */
export type FrameEnd =
  | "clean"
  /** The last append did not reach the disk whole: a crash while writing. What was promised is all there. */
  | "torn"
  /** Bytes that once were there are not any more. */
  | "corrupt";

/** Frames from `offset` on, up to the first that does not hold, and how the file ends. */
export function readFrames(
  bytes: Uint8Array,
  offset: number,
): { readonly frames: readonly Frame[]; readonly end: FrameEnd } {
  const frames: Frame[] = [];
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = offset;
  while (at < view.length) {
    const frame = readFrame(view, at, frames.length);
    if (frame === null) return { frames, end: isTorn(view, at) ? "torn" : "corrupt" };
    frames.push(frame);
    at += frameHeadBytes + frame.payload.length;
  }
  return { frames, end: "clean" };
}

function readFrame(view: Buffer, at: number, sequence: number): Frame | null {
  if (at + frameHeadBytes > view.length) return null;
  if (view.readUInt32LE(at + 12) !== crc32(view.subarray(at, at + 12))) return null;
  if (view.readUIntLE(at + 5, 3) !== (sequence & 0xffffff)) return null;
  const from = at + frameHeadBytes;
  const length = view.readUInt32LE(at);
  if (from + length > view.length) return null;
  const payload = view.subarray(from, from + length);
  if (view.readUInt32LE(at + 8) !== crc32(payload)) return null;
  return { kind: view.readUInt8(at + 4), payload };
}

/**
 * A crash leaves an append of one or more frames cut short, or followed by zeros where the file had grown already.
 * Anything else was damaged later.
 */
function isTorn(view: Buffer, at: number): boolean {
  const rest = view.subarray(at);
  if (rest.length < frameHeadBytes) return true;
  let written = rest.length;
  while (written > 0 && rest[written - 1] === 0) written--;
  const isHead = rest.readUInt32LE(12) === crc32(rest.subarray(0, 12));
  const end = isHead ? frameHeadBytes + rest.readUInt32LE(0) : frameHeadBytes;
  return written < end || (isHead && end >= rest.length);
}
