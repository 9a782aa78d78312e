import type { Logger } from "@antenna/sdk";

export interface ServiceManagerOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Sends one datagram from this very process; service managers look at the sender's pid. */
  readonly send: (socket: string, text: string) => Promise<void>;
  readonly logger: Logger;
}

/** Tells whoever started the daemon how it stands (sd_notify(3)); says nothing where nobody asked. */
export class ServiceManager implements Disposable {
  readonly #options: ServiceManagerOptions;
  readonly #socket: string | null;
  #watchdog: NodeJS.Timeout | null = null;
  #ready = false;
  /** One datagram after the other, in the order in which things happened. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: ServiceManagerOptions) {
    this.#options = options;
    const socket = options.environment.NOTIFY_SOCKET ?? "";
    // Other forms (vsock) are of virtual machine monitors, not of a host's own manager.
    this.#socket = /^[@/]./.test(socket) ? socket : null;
    this.#startWatchdog();
  }

  /** The policy is in force for the first time. Later calls say nothing. */
  ready(): void {
    if (this.#ready) return;
    this.#ready = true;
    this.#tell("READY=1");
  }

  /** One line for people, as in `systemctl status`. */
  status(text: string): void {
    this.#tell(`STATUS=${text.replaceAll("\n", " ")}`);
  }

  stopping(): void {
    this.#tell("STOPPING=1");
  }

  [Symbol.dispose](): void {
    if (this.#watchdog !== null) clearInterval(this.#watchdog);
  }

  /** Half the time that is granted, as sd_watchdog_enabled(3) advises. */
  #startWatchdog(): void {
    const { environment } = this.#options;
    const microseconds = Number(environment.WATCHDOG_USEC ?? 0);
    const meant = environment.WATCHDOG_PID ?? String(process.pid);
    if (!(microseconds >= 2_000) || meant !== String(process.pid)) return;
    const everyMs = Math.min(microseconds / 2_000, 2 ** 31 - 1);
    this.#watchdog = setInterval(() => this.#tell("WATCHDOG=1"), everyMs).unref();
  }

  /** Resolves when everything said so far was sent, or could not be. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  #tell(text: string): void {
    const socket = this.#socket;
    if (socket === null) return;
    this.#turn = this.#turn
      .then(() => this.#options.send(socket, text))
      .catch((reason: unknown) => {
        this.#options.logger.warn({ err: reason, socket, text }, "the service manager can't be told");
      });
  }
}
