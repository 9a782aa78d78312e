import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { PairingKey } from "@antenna/sdk/protocol";
import { DaemonProcess, runAntenna } from "../host/daemon-process.js";
import { LabController } from "../lab/controller.js";
import { createNetwork } from "../lab/network.js";

const labelPolicy = `
rulesets: [{ name: web, scope: {}, rules: [{ from: { role: web }, to: { role: web }, services: [{ protocol: tcp, ports: [80] }] }] }]
enforcement: [{ match: { role: web }, mode: full }]
`;

/** What nobody may find: a name for people, and the forms in which it could be written down. */
interface Secret {
  readonly name: string;
  readonly forms: readonly Buffer[];
}

function secret(name: string, bytes: Uint8Array): Secret {
  const buffer = Buffer.from(bytes);
  const texts = (["hex", "base64", "base64url"] as const).map((form) => buffer.toString(form));
  // Without its end, a base64 form is found in a longer text too.
  const forms = texts.map((text) => Buffer.from(text.replace(/=+$/, "").slice(0, -2)));
  return { name, forms: [buffer, ...forms] };
}

function found(secrets: readonly Secret[], where: string, content: Buffer): readonly string[] {
  return secrets
    .filter(({ forms }) => forms.some((form) => content.includes(form)))
    .map(({ name }) => `${name} in ${where}`);
}

/** Looks at every process of the machine again and again: arguments of all, the environment of those that were not given it. */
class ProcessWatch {
  readonly #secrets: readonly Secret[];
  readonly #given: () => readonly number[];
  readonly findings = new Set<string>();
  /** Of programs that were seen with our marks: the watch saw what it was for. */
  readonly seen = new Set<string>();
  #isOver = false;
  readonly #done: Promise<void>;

  constructor(secrets: readonly Secret[], given: () => readonly number[]) {
    this.#secrets = secrets;
    this.#given = given;
    this.#done = this.#watch();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#done;
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) this.#look(pid);
      await sleep(3);
    }
  }

  #look(pid: string): void {
    const given = this.#given();
    if (Number(pid) === process.pid) return;
    for (const file of ["cmdline", "environ"]) {
      let content: Buffer;
      try {
        content = readFileSync(`/proc/${pid}/${file}`);
      } catch {
        continue;
      }
      if (file === "cmdline") this.seen.add(content.toString().split("\0")[0]?.split("/").at(-1) ?? "");
      const program = programOf(pid);
      // A child that is not yet the program it will be is still its parent.
      if (file === "environ" && given.some((parent) => programOf(`${parent}`) === program)) continue;
      const where = `${file} of ${pid}, ${program}`;
      for (const finding of found(this.#secrets, where, content)) this.findings.add(finding);
    }
  }
}

function programOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`).toString().replaceAll("\0", " ");
  } catch {
    return "which has ended";
  }
}

/**
 * Every file and directory below that others could read, with its mode. PGlite makes its files 0666 whatever the umask: for those
 * the directory stands, which nobody else enters.
 */
async function openToOthers(directory: string): Promise<readonly string[]> {
  const names = [".", ...(await readdir(directory, { recursive: true }))];
  const wrong: string[] = [];
  for (const name of names) {
    const found = await stat(join(directory, name));
    const { mode } = found;
    const isDatabase = found.isFile() && name.startsWith("database/");
    if ((mode & 0o077) !== 0 && !isDatabase)
      wrong.push(`${join(directory, name)} ${(mode & 0o777).toString(8)}`);
  }
  return wrong;
}

async function filesBelow(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory, { recursive: true });
  return names.map((name) => join(directory, name)).filter((path) => statSync(path).isFile());
}

/** Private keys and tokens as they are stored: every long enough text under a telling name, and PEM. */
function storedSecrets(name: string, text: string): readonly Secret[] {
  const secrets: Secret[] = [];
  for (const [pem] of text.matchAll(/-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/g))
    secrets.push(secret(`key of ${name}`, privateScalar(createPrivateKey(pem.replaceAll("\\n", "\n")))));
  for (const [, key, value = ""] of text.matchAll(/"(privateKey|token)":\s*"([A-Za-z0-9+/_=-]{16,})"/g)) {
    const bytes = Buffer.from(value, /^[0-9a-f]+$/.test(value) ? "hex" : "base64");
    if (key === "token") secrets.push(secret(`token of ${name}`, bytes));
    else
      secrets.push(
        secret(
          `key of ${name}`,
          privateScalar(createPrivateKey({ key: bytes, format: "der", type: "pkcs8" })),
        ),
      );
  }
  return secrets;
}

function privateScalar(key: ReturnType<typeof createPrivateKey>): Buffer {
  return Buffer.from(key.export({ format: "jwk" }).d ?? "", "base64url");
}

test("pairing secrets, private keys and tokens are nowhere but in files of their owner", async () => {
  const folder = await mkdtemp(join(tmpdir(), "antenna-secrets-"));
  try {
    await using network = await createNetwork();
    await using controller = new LabController(
      "10.66.0.1",
      await network.addHost("ctl", ["10.66.0.1/24"]),
      folder,
    );
    await controller.serve();
    const [one, two] = [
      await network.addHost("one", ["10.66.0.2/24"]),
      await network.addHost("two", ["10.66.0.3/24"]),
    ];
    const stateDirs = [join(folder, "one"), join(folder, "two")] as const;
    const keys = [
      (await controller.must(["key", "create", "--label", "role=web"])).trim(),
      (await controller.must(["key", "create", "--label", "role=web"])).trim(),
    ] as const;
    const pairing = keys.map((key, index) => secret(`pairing key ${index}`, PairingKey.parse(key).secret));

    let given: readonly number[] = [];
    const watch = new ProcessWatch(pairing, () => given);
    const args = (stateDir: string) => [
      ...["--controller", controller.endpoint, "--state-dir", stateDir, "--settle", "0s"],
    ];
    // One pairs by hand and by standard input, the other by the environment of its daemon.
    const paired = await runAntenna(
      one,
      ["pair", "--controller", controller.endpoint, "--state-dir", stateDirs[0]],
      { input: keys[0] },
    );
    assert.equal(paired.code, 0, paired.stderr);
    await using first = new DaemonProcess({ namespace: one, args: args(stateDirs[0]) });
    const environment = { ANTENNA_PAIRING_KEY: keys[1] };
    await using second = new DaemonProcess({ namespace: two, args: args(stateDirs[1]), environment });
    given = [second.pid];
    await controller.until(
      "both",
      (workloads) => workloads.length === 2 && workloads.every(({ online }) => online),
    );
    const applied = await controller.apply(labelPolicy);
    assert.equal(applied.code, 0, applied.stderr);
    await controller.must(["ca", "rotate"]);
    await controller.until("in sync", (all) => all.every(({ state }) => state === "in-sync"));
    const backup = join(folder, "backup");
    await controller.must(["backup", backup]);
    const told: string[] = [];
    for (const [namespace, stateDir] of [
      [one, stateDirs[0]],
      [two, stateDirs[1]],
    ] as const) {
      for (const command of ["status", "context", "policy", "verify", "check"])
        told.push(JSON.stringify(await runAntenna(namespace, [command, "--json", "--state-dir", stateDir])));
    }
    for (const command of [["key", "list"], ["workloads"], ["events"], ["ca", "show"], ["policy", "show"]])
      told.push(JSON.stringify(await controller.command([...command, "--json"])));
    await watch.stop();
    assert.ok(
      [...watch.seen].some((name) => name.includes("restore")),
      "no child of a daemon was seen; the watch shows nothing",
    );
    assert.deepEqual([...watch.findings], []);

    // While they work.
    const stores = [...stateDirs, controller.dataDir];
    for (const store of stores) assert.deepEqual(await openToOthers(store), []);
    assert.equal((await stat(backup)).mode & 0o777, 0o600);
    const stored: Secret[] = [];
    for (const [index, store] of stores.entries())
      for (const file of await filesBelow(store)) {
        if (file.includes("/database/") || file.endsWith(".sock")) continue;
        stored.push(...storedSecrets(`store ${index}`, (await readFile(file)).toString("utf8")));
      }
    const names = stored.map(({ name }) => name);
    for (const wanted of ["key of store 0", "token of store 0", "token of store 1", "key of store 2"])
      assert.ok(names.includes(wanted), `${wanted} was not found where it belongs: ${names}`);

    assert.equal(await first.stop(), 0);
    assert.equal(await second.stop(), 0);
    await controller.stop();
    for (const store of stores) assert.deepEqual(await openToOthers(store), []);
    const everything = [...pairing, ...stored];
    const findings = [
      ...found(everything, "the log of one", Buffer.from(first.log)),
      ...found(everything, "the log of two", Buffer.from(second.log)),
      ...told.flatMap((text) => found(everything, `what was told: ${text.slice(0, 80)}`, Buffer.from(text))),
      ...found(everything, "the output of pair", Buffer.from(paired.stdout + paired.stderr)),
    ];
    const log = join(folder, "controller", "controller.log");
    findings.push(...found(everything, log, await readFile(log)));
    // The database knows hashes only; no file knows the secret of a pairing key.
    const agents = everything.filter(({ name }) => name !== "key of store 2");
    const inDatabase = (await filesBelow(controller.dataDir)).filter((file) => statSync(file).size > 0);
    assert.ok(inDatabase.length > 10);
    for (const file of [...inDatabase, backup]) findings.push(...found(agents, file, await readFile(file)));
    for (const stateDir of stateDirs)
      for (const file of await filesBelow(stateDir))
        findings.push(...found(pairing, file, await readFile(file)));
    assert.deepEqual(findings, []);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
