import { readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";

/** What the firmware says a machine is (linux/dmi.h, `/sys/class/dmi/id`); empty where there is no firmware table. */
export interface MachineFacts {
  readonly vendor: string;
  readonly product: string;
  readonly chassisTag: string;
  readonly bios: string;
}

export async function readMachine(): Promise<MachineFacts> {
  const read = async (name: string): Promise<string> =>
    (await readFile(`/sys/class/dmi/id/${name}`, "utf8").catch(() => "")).trim().slice(0, 128);
  const [vendor, product, chassisTag, bios] = await Promise.all(
    ["sys_vendor", "product_name", "chassis_asset_tag", "bios_vendor"].map(read),
  );
  return { vendor: vendor ?? "", product: product ?? "", chassisTag: chassisTag ?? "", bios: bios ?? "" };
}

/** In the order in which they decide: a vendor or a product, and what it is called. */
const machines: readonly (readonly [RegExp, string])[] = [
  [/amazon ec2|google|kvm|qemu|openstack|digitalocean|hetzner|rhev|red hat/i, "kvm"],
  [/vmware/i, "vmware"],
  [/virtualbox|innotek/i, "virtualbox"],
  [/xen/i, "xen"],
  [/microsoft corporation.*virtual/i, "hyperv"],
  [/parallels/i, "parallels"],
  [/bhyve/i, "bhyve"],
  [/firecracker/i, "firecracker"],
];

/** `container`, the hypervisor, `none`; null: the system does not say. Reads files only. */
export async function readVirtualization(machine: MachineFacts): Promise<string | null> {
  const [container, hypervisor, processor] = await Promise.all([
    readFile("/run/systemd/container", "utf8").catch(() => ""),
    readFile("/sys/hypervisor/type", "utf8").catch(() => ""),
    readFile("/proc/cpuinfo", "latin1").catch(() => ""),
  ]);
  if (container.trim() !== "") return "container";
  const named = machineKind(machine);
  if (named !== null) return named;
  if (hypervisor.trim() !== "") return hypervisor.trim().slice(0, 32);
  const virtual = /^flags\s*:.*\bhypervisor\b/m.test(processor);
  return virtual || machine.vendor === "" ? null : "none";
}

export function machineKind({ vendor, product, bios }: MachineFacts): string | null {
  const text = `${vendor} ${product} ${bios}`;
  return machines.find(([pattern]) => pattern.test(text))?.[1] ?? null;
}

const askMs = 10_000;

/**
 * Asks systeminformation, which looks further than the files above. It starts processes and stays in memory (9 MiB), so
 * it is asked once, in a thread that ends with its answer; null: it does not know either, or takes too long.
 */
export async function askVirtualization(signal: AbortSignal): Promise<string | null> {
  if (signal.aborted) return null;
  const worker = new Worker(new URL("./virtualization-worker.js", import.meta.url), {
    stderr: true,
    stdout: true,
    execArgv: [],
  });
  worker.unref();
  return await new Promise<string | null>((resolve) => {
    const timer = setTimeout(() => end(null), askMs).unref();
    const onAbort = (): void => end(null);
    const end = (answer: string | null): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      void worker.terminate().then(() => resolve(answer));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    worker.once("message", (answer: unknown) =>
      end(typeof answer === "string" && answer !== "" ? answer : null),
    );
    worker.once("error", () => end(null));
    worker.once("exit", () => end(null));
  });
}
