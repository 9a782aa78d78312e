import type { CloudFacts } from "@antenna/sdk";
import { askMetadataJson, asTags, asText, type MetadataAddress } from "./metadata-request.js";

/** Compute Engine metadata (cloud.google.com, "About VM metadata"). Its custom attributes can hold secrets: only network tags are told. */
export async function readGcp(at: MetadataAddress, signal: AbortSignal): Promise<CloudFacts | null> {
  const headers = { "Metadata-Flavor": "Google" };
  const path = "/computeMetadata/v1/instance/?recursive=true&alt=json";
  const document = await askMetadataJson(at, { path, headers, signal });
  if (document === null || asText(document.id) === "") return null;
  // projects/123/zones/europe-west1-b
  const zone = asText(document.zone).split("/").at(-1) ?? "";
  const tags = Array.isArray(document.tags) ? document.tags : [];
  return {
    provider: "gcp",
    instance: asText(document.id),
    region: zone.replace(/-[a-z]$/, ""),
    zone,
    tags: asTags(tags.map((tag) => [asText(tag), ""])),
  };
}
