/**
 * Where every socket of this thread receives into, one at a time: a message is only valid during the call it is handed
 * to, nothing is awaited between a receive and the last of its messages. Its pages take memory once they are used.
 */
const bytes = new Uint8Array(640 * 1024);
const lengths = new Int32Array(64);

export interface ReceiveBuffer {
  readonly bytes: Uint8Array;
  readonly lengths: Int32Array;
}

export const receiveBuffer: ReceiveBuffer = { bytes, lengths };

/**
 * Room for one answer to a request: dumps come in 32 KiB at most, and ipset repeats a refused request of up to 64 KiB.
 */
export const answerSlotBytes = 80 * 1024;
