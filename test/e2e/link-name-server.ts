import { createSocket } from "node:dgram";

// A name server for one name: `ADDRESS NAME IPV4`. It answers A with that address, anything else of the name with nothing, and
// every other name with NXDOMAIN (RFC 1035).

const [, , address = "", name = "", known = ""] = process.argv;
const headerBytes = 12;
const typeA = 1;

const socket = createSocket("udp4");
socket.on("message", (query, { address: source, port }) => {
  const reply = answer(query);
  if (reply !== null) socket.send(reply, port, source, () => undefined);
});
socket.bind(53, address, () => process.stdout.write("ready\n"));
process.stdin.resume();
process.stdin.once("end", () => process.exit(0));

function answer(query: Buffer): Buffer | null {
  const question = readQuestion(query);
  if (question === null) return null;
  const isKnown = question.name === name;
  const records = isKnown && question.type === typeA ? [addressRecord()] : [];
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(query.readUInt16BE(0), 0);
  // Response, recursion desired and available; rcode 3: no such name.
  header.writeUInt16BE(0x8180 | (isKnown ? 0 : 3), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  return Buffer.concat([header, query.subarray(headerBytes, question.end), ...records]);
}

function readQuestion(
  query: Buffer,
): { readonly name: string; readonly type: number; readonly end: number } | null {
  const labels: string[] = [];
  let at = headerBytes;
  for (;;) {
    const length = query[at];
    if (length === undefined || length > 63 || at + length + 5 > query.length) return null;
    at += 1;
    if (length === 0) break;
    labels.push(query.toString("latin1", at, at + length).toLowerCase());
    at += length;
  }
  return { name: labels.join("."), type: query.readUInt16BE(at), end: at + 4 };
}

/** The name by a pointer to the question, A, IN, 0 s: nothing is to be kept. */
function addressRecord(): Buffer {
  const fixed = [0xc0, headerBytes, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4];
  return Buffer.from([...fixed, ...known.split(".").map(Number)]);
}
