import { release } from "node:os";
import type { Configuration } from "../config/keys.js";
import type { CheckDocument, CheckItem } from "../documents.js";
import { platform } from "../run/platform.js";
import { checkConntrackSettings, checkConntrackTable } from "./conntrack.js";
import { checkController } from "./controller.js";
import {
  checkCapabilities,
  checkNflogGroup,
  checkNode,
  checkPlatform,
  checkReceiveBuffer,
  checkStateDir,
} from "./host.js";
import { KernelBuild } from "./kernel-build.js";
import { kernelFeatures } from "./kernel-features.js";
import { checkOwnerRules } from "./owner-rules.js";
import { probeKernel } from "./probe.js";
import { checkIpset, checkIptables } from "./programs.js";

export interface CheckOptions {
  readonly probe: boolean;
  readonly signal: AbortSignal;
}

/** `antenna check`: everything that enforcement needs, in the order in which one would repair it. */
export async function checkHost(values: Configuration, options: CheckOptions): Promise<CheckDocument> {
  const kernel = checkPlatform(process.platform, release());
  if (kernel.state === "red") return conclude([checkNode(process.version), kernel]);
  const system = await platform();
  const iptables = await checkIptables();
  const features = kernelFeatures(await KernelBuild.read(), iptables.backend);
  return conclude([
    checkNode(process.version),
    kernel,
    await checkCapabilities(values.namespace),
    await checkStateDir(values.stateDir),
    ...iptables.items,
    await checkIpset(),
    ...(options.probe ? overlay(features, await probeKernel(options.signal)) : features),
    await checkConntrackTable(),
    ...(await checkConntrackSettings()),
    ...(await checkOwnerRules(system, values)),
    await checkNflogGroup(values["kernel.nflogGroup"]),
    await checkReceiveBuffer(),
    ...(await checkController(system, values)),
  ]);
}

/** What was tried beats what was read. */
function overlay(read: readonly CheckItem[], tried: readonly CheckItem[]): readonly CheckItem[] {
  const kept = read.filter(({ name }) => !tried.some((item) => item.name === name));
  return [...tried, ...kept];
}

function conclude(items: readonly CheckItem[]): CheckDocument {
  return { ok: items.every(({ state }) => state !== "red"), items };
}
