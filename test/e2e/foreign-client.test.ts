import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { controllerName, PairingKey } from "@antenna/sdk/protocol";
import { FleetController } from "../fleet/fleet-controller.js";
import { TestAgent } from "../host/controller-arena.js";

const root = join(import.meta.dirname, "..", "..", "..");
const buf = join(root, "node_modules", ".bin", "buf");
const service = "antenna.v1.AgentService";

interface Called {
  readonly code: number;
  /** JSON documents, one after another. */
  readonly answers: readonly Readonly<Record<string, unknown>>[];
  readonly stderr: string;
}

interface CallOptions {
  readonly port: number;
  readonly method: string;
  /** Of `buf curl`: certificates. */
  readonly flags: readonly string[];
  readonly messages: readonly object[];
  /** How many answers to wait for before the stream is half-closed. */
  readonly answers: number;
  readonly folder: string;
}

/** A client that knows nothing of Antenna but its .proto: `buf curl`, in Go. */
function curl({ port, method, flags, messages, answers, folder }: CallOptions): Promise<Called> {
  const args = [
    ...["curl", "--schema", join(root, "sdk", "src", "protocol"), "--protocol", "grpc"],
    ...["--servername", controllerName, ...flags, "--data", "@-"],
    `https://127.0.0.1:${port}/${service}/${method}`,
  ];
  const child = spawn(buf, args, {
    env: { PATH: process.env.PATH, HOME: folder, BUF_CACHE_DIR: join(folder, "cache") },
  });
  let [stdout, stderr] = ["", ""];
  for (const message of messages) child.stdin.write(`${JSON.stringify(message)}\n`);
  if (answers === 0) child.stdin.end();
  child.stdin.on("error", () => {});
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    if (documents(stdout).length >= answers) child.stdin.end();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  // It reads its input to the end, whatever it was told meanwhile.
  const timer = setTimeout(() => child.stdin.end(), 20_000);
  return new Promise((resolve) =>
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? -1, answers: documents(stdout), stderr });
    }),
  );
}

/** Whole documents so far: `buf curl` prints each on lines of its own, the last one `}`. */
function documents(text: string): readonly Readonly<Record<string, unknown>>[] {
  const parts = text.split(/^\}$/m).slice(0, -1);
  return parts.map((part) => JSON.parse(`${part}}`) as Record<string, unknown>);
}

function pem(der: Uint8Array): string {
  return new X509Certificate(der).toString();
}

test("a foreign client with a real identity agrees with the .proto, and one without is nobody", async () => {
  const folder = await mkdtemp(join(tmpdir(), "antenna-foreign-"));
  try {
    await using controller = await FleetController.start(folder);
    const agent = new TestAgent(controller.port, "foreign");
    const key = PairingKey.parse(await controller.key({ role: "web" }));
    await agent.pair(key);
    const policy = `
rulesets: [{ name: web, scope: {}, rules: [{ from: { ipList: any }, to: { role: web }, services: [{ protocol: tcp, ports: [80] }] }] }]
enforcement: [{ match: { role: web }, mode: full }]
`;
    await controller.apply(policy);
    const file = async (name: string, text: string): Promise<string> => {
      await writeFile(join(folder, name), text, { mode: 0o600 });
      return join(folder, name);
    };
    const roots = (agent.identity?.roots ?? []).map(pem).join("");
    const trust = ["--cacert", await file("root.pem", roots)];
    const chain = (agent.identity?.certificateChain ?? []).map(pem).join("");
    const own = [
      ...["--cert", await file("agent.pem", chain)],
      "--key",
      await file("agent.key", agent.privateKey.export({ type: "pkcs8", format: "pem" }).toString()),
    ];
    const { port } = controller;
    const hello = {
      hello: { revision: 1, agentVersion: "buf", capabilities: [], status: { state: "starting" }, credit: 4 },
    };

    const session = await curl({
      ...{ port, folder, method: "Session", messages: [hello], answers: 3 },
      flags: [...trust, ...own],
    });
    const of = (kind: string): Record<string, unknown> | undefined =>
      session.answers.find((answer) => kind in answer)?.[kind] as Record<string, unknown> | undefined;
    const welcome = of("welcome");
    assert.ok(welcome !== undefined, `${session.code}: ${session.stderr}`);
    assert.equal(welcome.workload, agent.workload);
    assert.equal(welcome.revision, 1);
    assert.ok(Math.abs(Date.parse(String(welcome.time)) - Date.now()) < 60_000);
    const ping = of("ping");
    assert.equal(Buffer.from(String(ping?.nonce), "base64").length, 8);
    const header = of("policy")?.header as
      | { digest: string; rest: { mode: string; rules: readonly { id: string }[] } }
      | undefined;
    assert.match(header?.digest ?? "", /^sha256:[0-9a-f]{64}$/);
    assert.equal(header?.rest.mode, "full");
    assert.ok((header?.rest.rules.length ?? 0) >= 1);

    // Nothing of the other methods is asked of a certificate: they are refused for what is said.
    const refused = [
      { method: "Session", messages: [hello], flags: trust, expected: /unauthenticated/ },
      {
        ...{ method: "Session", flags: [...trust, ...own], expected: /invalid_argument/ },
        messages: [{ pong: { nonce: "AAAA" } }],
      },
      {
        ...{ method: "Pair", flags: trust, expected: /unauthenticated|invalid_argument/ },
        messages: [{ keyId: key.id, secret: "AAAA", certificateRequest: "AAAA", hostname: "x" }],
      },
      {
        ...{ method: "Renew", flags: trust, expected: /invalid_argument/ },
        messages: [{ proof: { signature: "AAAA" } }],
      },
      { method: "Session", messages: [hello], flags: own, expected: /unknown authority|certificate/ },
    ];
    for (const { expected, ...call } of refused) {
      const { code, answers, stderr } = await curl({ ...call, port, folder, answers: 0 });
      assert.notEqual(code, 0, call.method);
      assert.deepEqual(answers, []);
      assert.match(stderr, expected, call.method);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
