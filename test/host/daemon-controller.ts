import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createNamespace, inside, link, type Namespace } from "../lab/namespace.js";

const program = fileURLToPath(new URL("./daemon-controller-program.js", import.meta.url));
export const controllerAddress = "10.77.0.1:8443";

/** A host and its controller, each in a namespace of its own: 10.77.0.2 and 10.77.0.1. */
export interface Site extends AsyncDisposable {
  readonly host: Namespace;
  readonly controller: ControllerProcess;
}

export async function createSite(): Promise<Site> {
  const host = await createNamespace();
  const other = await createNamespace();
  await link(
    { namespace: host, interface: "eth0", addresses: ["10.77.0.2/24"] },
    { namespace: other, interface: "eth0", addresses: ["10.77.0.1/24"] },
  );
  const controller = await ControllerProcess.start(other);
  return {
    host,
    controller,
    [Symbol.asyncDispose]: async () => {
      await controller[Symbol.asyncDispose]();
      await Promise.all([host, other].map((namespace) => namespace[Symbol.asyncDispose]()));
    },
  };
}

/** A controller in a namespace, asked over its standard streams. */
class ControllerProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting: ((answer: unknown) => void)[] = [];

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new Error("no pipe");
    createInterface({ input: child.stdout }).on("line", (line) => this.#waiting.shift()?.(JSON.parse(line)));
  }

  static async start(namespace: Namespace): Promise<ControllerProcess> {
    const options = ["--conditions=in-repo", "--enable-source-maps"];
    const [file, argv] = inside(namespace.path, process.execPath, [
      ...options,
      program,
      ...controllerAddress.split(":"),
    ]);
    const controller = new ControllerProcess(spawn(file, argv, { stdio: ["pipe", "pipe", "inherit"] }));
    await controller.#answer();
    return controller;
  }

  /** A pairing key for workloads with this label `role`. */
  async key(role: string): Promise<string> {
    return (await this.ask<{ pairingKey: string }>("key", role)).pairingKey;
  }

  async ask<T>(call: string, text = ""): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify({ call, text })}\n`);
    return (await this.#answer()) as T;
  }

  /** Its connections end with it. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
  }

  #answer(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const onExit = (): void => reject(new Error("the controller has ended"));
      this.#child.once("exit", onExit);
      this.#waiting.push((answer) => {
        this.#child.off("exit", onExit);
        resolve(answer);
      });
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
