import { resolve } from "node:path";
import { pair as pairHost } from "@antenna/sdk";
import { type Command, exitCode, type Invocation, UsageError } from "@antenna/sdk/command-line";
import { loadConfiguration } from "../config/read.js";
import {
  configOption,
  controllerOption,
  flaggedController,
  keyFileOption,
  stateDirOption,
} from "../options.js";
import { makeStateDir } from "../run/exclusive.js";
import { pairingKeyVariable, readKeyFile, readKeyStream } from "../run/pairing-key.js";

export const pair: Command = {
  name: "pair",
  summary: "get an identity from a controller, with a pairing key",
  about: `Exchanges a pairing key (\`antenna-controller key create\` prints one) for this host's identity. The key is read from
--key-file, from ${pairingKeyVariable} or from standard input, never from the command line, where everybody could
read it. Before it is sent, the controller has to show the root certificate whose fingerprint is in the key. The host's
private key is made here and never leaves it. A daemon that waits for an identity connects at once. A paired host is
refused until \`antenna unpair\`; after a revocation it may pair again. Exit codes: 1 refused or unreachable, 2 no key,
3 not a key.`,
  options: {
    controller: controllerOption,
    "key-file": keyFileOption,
    "state-dir": stateDirOption,
    config: configOption,
  },
  positionals: [],
  examples: [
    ["antenna pair --controller controller.example:8443 --key-file /run/pairing.key", "with a key in a file"],
    [
      "ssh admin@controller antenna-controller key create --label role=web | antenna pair --controller 10.0.0.1:8443",
      "with a key that is never written down",
    ],
  ],
  run: async (invocation) => {
    const { controller: flag } = flaggedController(invocation);
    const { values } = await loadConfiguration({
      file: invocation.text("config"),
      flags: flag === undefined ? {} : { controller: flag },
      environment: invocation.environment,
    });
    const stateDir = resolve(invocation.text("state-dir") ?? values.stateDir);
    const { controller } = values;
    if (controller === null)
      throw new UsageError(
        "no controller is named: add --controller HOST:PORT, or `controller` to the configuration",
      );
    const key = await findKey(invocation);
    await makeStateDir(stateDir);
    const { signal, terminal } = invocation;
    const paired = await pairHost({ controller, key, stateDir, signal });
    await terminal.out(
      `paired with ${paired.controller} as ${paired.workload}; the certificate is good until ${paired.certificateExpires}, and is renewed long before\n`,
    );
    return exitCode.done;
  },
};

/** The first that is there: `--key-file`, the environment, standard input. */
async function findKey({ environment, signal, terminal, text }: Invocation): Promise<string> {
  const file = text("key-file");
  const inherited = environment[pairingKeyVariable] ?? "";
  const isAsked = file === null && inherited === "";
  if (isAsked && "isTTY" in terminal.stdin && terminal.stdin.isTTY === true) terminal.err("pairing key: ");
  const typed = isAsked ? await readKeyStream(terminal.stdin, signal) : inherited;
  const given = file === null ? typed : await readKeyFile(file);
  if (given.trim() !== "") return given;
  const source = file ?? `--key-file, ${pairingKeyVariable} and standard input`;
  throw new UsageError(`there is no pairing key in ${source}; \`antenna-controller key create\` prints one`);
}
