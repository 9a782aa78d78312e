/** Protobuf's wire format by hand, for messages that no codec of ours would make. */

export function varint(number: number, value: number | bigint): Uint8Array {
  return Buffer.concat([tag(number, 0), variable(BigInt(value))]);
}

export function field(number: number, content: Uint8Array): Uint8Array {
  return Buffer.concat([tag(number, 2), variable(BigInt(content.length)), content]);
}

export function text(number: number, content: string): Uint8Array {
  return field(number, Buffer.from(content, "utf8"));
}

function tag(number: number, type: 0 | 2): Uint8Array {
  return variable(BigInt(number * 8 + type));
}

function variable(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let left = value;
  while (left > 127n) {
    bytes.push(Number(left & 127n) | 128);
    left >>= 7n;
  }
  return Buffer.from([...bytes, Number(left)]);
}
