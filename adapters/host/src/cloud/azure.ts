import type { CloudFacts } from "@antenna/sdk";
import { askMetadataJson, asRecord, asTags, asText, type MetadataAddress } from "./metadata-request.js";

/** Azure Instance Metadata Service (learn.microsoft.com, "Azure Instance Metadata Service", 2021-02-01). */
export async function readAzure(at: MetadataAddress, signal: AbortSignal): Promise<CloudFacts | null> {
  const path = "/metadata/instance/compute?api-version=2021-02-01&format=json";
  const document = await askMetadataJson(at, { path, headers: { Metadata: "true" }, signal });
  if (document === null || asText(document.vmId) === "") return null;
  const list = Array.isArray(document.tagsList) ? document.tagsList : [];
  const tags = list.flatMap((tag): (readonly [string, unknown])[] => {
    const entry = asRecord(tag);
    return entry === null ? [] : [[asText(entry.name), entry.value]];
  });
  return {
    provider: "azure",
    instance: asText(document.vmId),
    region: asText(document.location),
    zone: asText(document.zone),
    tags: asTags(tags),
  };
}
