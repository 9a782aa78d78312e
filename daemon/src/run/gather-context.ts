import { setTimeout as sleep } from "node:timers/promises";
import {
  type ContextFacts,
  type ContextSource,
  Inventory,
  type Logger,
  systemClock,
  type WorkloadContext,
} from "@antenna/sdk";

/** What files and the kernel tell comes at once. */
const promptMs = 5_000;
/** A metadata service, or a program that is asked, may never answer. */
const patienceMs = 2_000;
const prompt: readonly (keyof ContextFacts)[] = ["hostname", "os", "addresses", "services", "virtualization"];

/** What a source knows of this host, asked once. null: not even its name came in time. */
export async function gatherContext(
  source: ContextSource,
  { namespace, logger }: { readonly namespace: string | null; readonly logger: Logger },
): Promise<WorkloadContext | null> {
  const seen = new Set<string>();
  const watched: ContextSource = {
    name: source.name,
    start: (onFacts, options) =>
      source.start((facts) => {
        for (const part of Object.keys(facts)) seen.add(part);
        onFacts(facts);
      }, options),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
  await using inventory = new Inventory([watched], () => {});
  inventory.start({ namespace, clock: systemClock, logger, random: Math.random });
  const isPrompt = (): boolean => prompt.every((part) => seen.has(part));
  await until(isPrompt, promptMs);
  const isWhole = (): boolean => seen.has("cloud") && inventory.context()?.virtualization != null;
  await until(isWhole, patienceMs);
  return inventory.context();
}

async function until(holds: () => boolean, limitMs: number): Promise<void> {
  const end = performance.now() + limitMs;
  while (!holds() && performance.now() < end) await sleep(20);
}
