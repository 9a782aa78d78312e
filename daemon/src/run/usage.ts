import { readFileSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

/** How often CPU is sampled, and over how long it is told: two samples back, 10 s. */
const sampleMs = 5_000;
const samples = 3;
/** Clock ticks of proc(5), a constant of the kernel's interface to programs (USER_HZ). */
const ticksPerSecond = 100;
const bytesPerMiB = 1024 * 1024;

interface Sample {
  readonly atMs: number;
  readonly cpuSeconds: number;
}

/** What the daemon itself uses, its children included: processor, memory, disk. */
export class UsageMeter implements Disposable {
  readonly #stateDir: string;
  readonly #samples: Sample[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(stateDir: string) {
    this.#stateDir = stateDir;
    this.#timer = setInterval(() => this.#sample(), sampleMs).unref();
    this.#sample();
  }

  /** Seconds of CPU since the start, of children that ended too. */
  async cpuSeconds(): Promise<number> {
    return readCpuSeconds(await readFile("/proc/self/stat", "latin1"));
  }

  /** Percent of one core over the last 10 to 15 seconds; less after a start. */
  async cpuPercent(): Promise<number> {
    const [oldest] = this.#samples;
    if (oldest === undefined) return 0;
    const seconds = (performance.now() - oldest.atMs) / 1_000;
    const used = (await this.cpuSeconds()) - oldest.cpuSeconds;
    return seconds < 0.5 ? 0 : round((100 * used) / seconds);
  }

  /** Resident memory of the daemon and of the children that run now. */
  async memoryMiB(): Promise<number> {
    const children = await childrenOf("self");
    const resident = await Promise.all(children.map((pid) => residentBytes(pid)));
    return round(resident.reduce((sum, bytes) => sum + bytes, process.memoryUsage.rss()) / bytesPerMiB);
  }

  /** What the state directory takes on disk. */
  async diskMiB(): Promise<number> {
    return round((await bytesUnder(this.#stateDir, 0)) / bytesPerMiB);
  }

  /** Read at once: a turn of the thread pool costs more than the reading. */
  #sample(): void {
    try {
      const cpuSeconds = readCpuSeconds(readFileSync("/proc/self/stat", "latin1"));
      this.#samples.push({ atMs: performance.now(), cpuSeconds });
    } catch {
      // No file can be opened at this moment (ENFILE, EMFILE): a sample is missed, and enforcing goes on.
    }
    if (this.#samples.length > samples) this.#samples.shift();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** utime, stime, cutime and cstime of proc_pid_stat(5); the name before them may hold blanks and parentheses. */
export function readCpuSeconds(line: string): number {
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return round(ticks / ticksPerSecond);
}

async function childrenOf(pid: string): Promise<readonly string[]> {
  const tasks = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await Promise.all(
    tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, "latin1").catch(() => "")),
  );
  return lists.flatMap((list) => list.split(" ").filter(Boolean));
}

async function residentBytes(pid: string): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "latin1").catch(() => "");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1_024;
}

/** Deep enough for everything the agent keeps; a link or a mount that leads elsewhere is not followed. */
const deepest = 4;

async function bytesUnder(directory: string, depth: number): Promise<number> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  const sizes = entries.map(async (entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return depth < deepest ? await bytesUnder(path, depth + 1) : 0;
    if (!entry.isFile()) return 0;
    const facts = await stat(path).catch(() => null);
    return (facts?.blocks ?? 0) * 512;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
