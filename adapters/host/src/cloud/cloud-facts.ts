import type { CloudFacts } from "@antenna/sdk";
import type { MachineFacts } from "../virtualization.js";
import { readAws } from "./aws.js";
import { readAzure } from "./azure.js";
import { readGcp } from "./gcp.js";
import type { MetadataAddress } from "./metadata-request.js";
import { readOpenStack } from "./openstack.js";

type Reader = (at: MetadataAddress, signal: AbortSignal) => Promise<CloudFacts | null>;

const readers: Readonly<Record<CloudFacts["provider"], Reader>> = {
  aws: readAws,
  azure: readAzure,
  gcp: readGcp,
  openstack: readOpenStack,
};

/** How Azure marks its machines. */
const azureTag = "7783-7084-3265-9085-8269-3286-77";

/** The cloud that the firmware names; null: it names none that we know, and any may be it. */
export function namedCloud({
  vendor,
  product,
  chassisTag,
  bios,
}: MachineFacts): CloudFacts["provider"] | null {
  if (chassisTag === azureTag) return "azure";
  if (/amazon/i.test(`${vendor} ${bios}`)) return "aws";
  if (/google/i.test(`${vendor} ${product}`)) return "gcp";
  return /openstack/i.test(`${vendor} ${product} ${chassisTag}`) ? "openstack" : null;
}

/**
 * Who this instance is to its cloud; null: no metadata service answers. Only the cloud that the firmware names is asked,
 * all of them where it names none.
 */
export async function readCloud(
  at: MetadataAddress,
  machine: MachineFacts,
  signal: AbortSignal,
): Promise<CloudFacts | null> {
  const named = namedCloud(machine);
  if (named !== null) return await readers[named](at, signal);
  const found = await Promise.all(Object.values(readers).map((read) => read(at, signal)));
  return found.find((facts) => facts !== null) ?? null;
}
