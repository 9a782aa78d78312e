import type { CloudFacts } from "@antenna/sdk";
import { askMetadata, askMetadataJson, asTags, asText, type MetadataAddress } from "./metadata-request.js";

/** EC2 instance metadata, version 2 only: a token first (docs.aws.amazon.com, "Use IMDSv2"). Tags only where the owner allows them. */
export async function readAws(at: MetadataAddress, signal: AbortSignal): Promise<CloudFacts | null> {
  const lifetime = { "X-aws-ec2-metadata-token-ttl-seconds": "60" };
  const token = await askMetadata(at, {
    method: "PUT",
    path: "/latest/api/token",
    headers: lifetime,
    signal,
  });
  if (token === null || !/^[\x21-\x7e]{1,512}$/.test(token.trim())) return null;
  const headers = { "X-aws-ec2-metadata-token": token.trim() };
  const path = "/latest/dynamic/instance-identity/document";
  const document = await askMetadataJson(at, { path, headers, signal });
  if (document === null || asText(document.instanceId) === "") return null;
  const root = "/latest/meta-data/tags/instance";
  const names = (await askMetadata(at, { path: root, headers, signal })) ?? "";
  const tags = await Promise.all(
    names
      .split("\n")
      .filter((name) => /^[\w.:=+\-@ ]{1,128}$/.test(name))
      .slice(0, 50)
      .map(
        async (name): Promise<readonly [string, unknown]> => [
          name,
          await askMetadata(at, { path: `${root}/${encodeURIComponent(name)}`, headers, signal }),
        ],
      ),
  );
  return {
    provider: "aws",
    instance: asText(document.instanceId),
    region: asText(document.region),
    zone: asText(document.availabilityZone),
    tags: asTags(tags),
  };
}
