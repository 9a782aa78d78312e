import type { CloudFacts } from "@antenna/sdk";
import { askMetadataJson, asRecord, asTags, asText, type MetadataAddress } from "./metadata-request.js";

/** OpenStack Nova metadata (docs.openstack.org, "Metadata service"); Rackspace speaks it too. */
export async function readOpenStack(at: MetadataAddress, signal: AbortSignal): Promise<CloudFacts | null> {
  const document = await askMetadataJson(at, { path: "/openstack/latest/meta_data.json", signal });
  if (document === null || asText(document.uuid) === "") return null;
  const zone = asText(document.availability_zone);
  const region = asText(asRecord(document.meta)?.region ?? document.region);
  const instance = asText(document.uuid);
  return {
    provider: "openstack",
    instance,
    region,
    zone,
    tags: asTags(Object.entries(asRecord(document.meta) ?? {})),
  };
}
