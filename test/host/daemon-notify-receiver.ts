import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

/** A datagram socket that tells the sender's pid, as systemd looks at it; Node has none. */
const source = `
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
int main(int argc, char **argv) {
  (void)argc;
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
  socklen_t length = offsetof(struct sockaddr_un, sun_path) + strlen(argv[1]);
  if (address.sun_path[0] == '@') address.sun_path[0] = 0;
  else length = sizeof address;
  int s = socket(AF_UNIX, SOCK_DGRAM, 0), on = 1;
  setsockopt(s, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  if (bind(s, (struct sockaddr *)&address, length)) { perror("bind"); return 1; }
  printf("listening\\n"); fflush(stdout);
  for (;;) {
    char text[4096] = {0}, control[256];
    struct iovec part = { text, sizeof text - 1 };
    struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
    if (recvmsg(s, &m, 0) < 0) return 1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
      if (c->cmsg_type == SCM_CREDENTIALS) printf("%d %s\\n", ((struct ucred *)CMSG_DATA(c))->pid, text);
    fflush(stdout);
  }
}
`;

export interface Notice {
  readonly pid: number;
  readonly text: string;
  /** By the monotonic clock of this process. */
  readonly atMs: number;
}

/** What service managers have at the other end of NOTIFY_SOCKET. */
export class NotifyReceiver implements AsyncDisposable {
  readonly notices: Notice[] = [];
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
    let rest = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [, pid, words] = /^(\d+) (.*)$/.exec(line) ?? [];
        if (pid !== undefined)
          this.notices.push({ pid: Number(pid), text: words ?? "", atMs: performance.now() });
      }
    });
  }

  /** `address`: a path, or `@name` for an abstract one. */
  static async open(directory: string, address: string): Promise<NotifyReceiver> {
    const file = join(directory, "notify-receiver");
    await writeFile(`${file}.c`, source);
    await promisify(execFile)("/usr/bin/gcc", ["-O1", "-o", file, `${file}.c`]);
    const child = spawn(file, [address], { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    return new NotifyReceiver(child);
  }

  async until(text: string, timeoutMs = 15_000): Promise<Notice> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const notice = this.notices.find((candidate) => candidate.text === text);
      if (notice !== undefined) return notice;
      if (performance.now() > end)
        throw new Error(`${text} never came, only ${JSON.stringify(this.notices)}`);
      await sleep(10);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}
