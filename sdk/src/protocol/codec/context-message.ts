import { antenna } from "#antenna.v1";
import { contextDelta } from "../../context/inventory.js";
import type {
  AddressScope,
  CloudFacts,
  ContextFacts,
  ListeningService,
  WorkloadAddress,
  WorkloadContext,
} from "../../context/workload-context.js";
import { protocolName, protocolNumber } from "../../policy/protocol.js";
import type { FieldReader } from "./field-reader.js";
import { protocolLimits } from "./protocol-limits.js";
import { readAddress, writeAddress } from "./wire-address.js";
import { shorten } from "./words-for-people.js";

const { AddressScope: WireScope } = antenna.v1;

type HostFacts = Pick<WorkloadContext, "hostname" | "os" | "virtualization">;

/**
 * What is to be told after `before` was (null: nothing was): the parts that differ, each whole; null: none. Host name, system
 * and virtualisation are one part.
 */
export function contextParts(before: WorkloadContext | null, after: WorkloadContext): ContextFacts | null {
  const changed = contextDelta(before, after);
  if (Object.keys(changed).length === 0) return null;
  const { hostname, os, virtualization } = after;
  const isHost = "hostname" in changed || "os" in changed || "virtualization" in changed;
  return isHost ? { ...changed, hostname, os, virtualization } : changed;
}

/**
 * Lists that are longer than the limits are cut at their end, texts too.
 *
 * @throws TypeError when host name, system and virtualisation are not together.
 */
export function writeFacts(facts: ContextFacts): antenna.v1.ContextUpdate.$Properties {
  const { addresses, services, cloud } = facts;
  const host = hostOf(facts);
  return {
    ...(host === null ? {} : { host: writeHost(host) }),
    ...(addresses === undefined
      ? {}
      : { addresses: { addresses: addresses.slice(0, protocolLimits.addresses).map(writeWorkloadAddress) } }),
    ...(services === undefined
      ? {}
      : { services: { services: services.slice(0, protocolLimits.services).map(writeService) } }),
    ...(cloud === undefined ? {} : { cloud: cloud === null ? {} : writeCloud(cloud) }),
  };
}

export function readFacts(
  reader: FieldReader,
  path: string,
  value: antenna.v1.ContextUpdate.$Properties,
): ContextFacts {
  const { host, addresses, services, cloud } = value;
  return {
    ...(isAbsent(host) ? {} : readHost(reader, `${path}.host`, host)),
    ...(isAbsent(addresses)
      ? {}
      : {
          addresses: reader.list(
            `${path}.addresses`,
            addresses.addresses,
            protocolLimits.addresses,
            (each, at) => readWorkloadAddress(reader, at, each),
          ),
        }),
    ...(isAbsent(services)
      ? {}
      : {
          services: reader.list(`${path}.services`, services.services, protocolLimits.services, (each, at) =>
            readService(reader, at, each),
          ),
        }),
    ...(isAbsent(cloud) ? {} : { cloud: readCloud(reader, `${path}.cloud`, cloud) }),
  };
}

function hostOf({ hostname, os, virtualization }: ContextFacts): HostFacts | null {
  if (hostname !== undefined && os !== undefined && virtualization !== undefined)
    return { hostname, os, virtualization };
  if (hostname === undefined && os === undefined && virtualization === undefined) return null;
  throw new TypeError("host name, system and virtualisation are told together: see contextParts");
}

function writeHost({ hostname, os, virtualization }: HostFacts): antenna.v1.HostFacts.$Properties {
  return {
    hostname: name(hostname),
    osName: name(os.name),
    osVersion: name(os.version),
    kernel: name(os.kernel),
    arch: name(os.arch),
    virtualization: name(virtualization ?? ""),
  };
}

function readHost(reader: FieldReader, path: string, host: antenna.v1.HostFacts.$Properties): HostFacts {
  const limit = protocolLimits.name;
  return {
    hostname: reader.words(`${path}.hostname`, host.hostname, limit),
    os: {
      name: reader.words(`${path}.osName`, host.osName, limit),
      version: reader.words(`${path}.osVersion`, host.osVersion, limit),
      kernel: reader.words(`${path}.kernel`, host.kernel, limit),
      arch: reader.words(`${path}.arch`, host.arch, limit),
    },
    virtualization: reader.optionalWords(`${path}.virtualization`, host.virtualization, limit),
  };
}

const scopes: readonly AddressScope[] = ["routable", "host", "virtual"];
const wireScopes: Readonly<Record<AddressScope, antenna.v1.AddressScope>> = {
  routable: WireScope.ADDRESS_SCOPE_ROUTABLE,
  host: WireScope.ADDRESS_SCOPE_HOST,
  virtual: WireScope.ADDRESS_SCOPE_VIRTUAL,
};

function writeWorkloadAddress(address: WorkloadAddress): antenna.v1.WorkloadAddress.$Properties {
  return {
    address: writeAddress(address.address),
    prefix: address.prefix,
    interface: name(address.interface),
    scope: wireScopes[address.scope],
  };
}

function readWorkloadAddress(
  reader: FieldReader,
  path: string,
  value: antenna.v1.WorkloadAddress.$Properties,
): WorkloadAddress {
  const scope = scopes.find((each) => wireScopes[each] === value.scope);
  if (scope === undefined) reader.refuse(`${path}.scope`, `is ${value.scope ?? 0}, which is no scope`);
  return {
    address: readAddress(reader, `${path}.address`, value.address),
    prefix: reader.count(`${path}.prefix`, value.prefix, 0, value.address?.length === 4 ? 32 : 128),
    interface: reader.words(`${path}.interface`, value.interface, protocolLimits.name),
    scope: scope ?? "routable",
  };
}

function writeService(service: ListeningService): antenna.v1.ListeningService.$Properties {
  return {
    protocol: protocolNumber(service.protocol) ?? Number(service.protocol),
    address: writeAddress(service.address),
    port: service.port,
    process: name(service.process ?? ""),
    user: name(service.user ?? ""),
  };
}

function readService(
  reader: FieldReader,
  path: string,
  value: antenna.v1.ListeningService.$Properties,
): ListeningService {
  return {
    protocol: protocolName(reader.count(`${path}.protocol`, value.protocol, 1, 255)),
    address: readAddress(reader, `${path}.address`, value.address),
    port: reader.count(`${path}.port`, value.port, 1, 65_535),
    process: reader.optionalWords(`${path}.process`, value.process, protocolLimits.name),
    user: reader.optionalWords(`${path}.user`, value.user, protocolLimits.name),
  };
}

const providers: readonly CloudFacts["provider"][] = ["aws", "azure", "gcp", "openstack"];

function writeCloud(cloud: CloudFacts): antenna.v1.CloudFacts.$Properties {
  const tags = Object.entries(cloud.tags).slice(0, protocolLimits.tags);
  return {
    provider: cloud.provider,
    instance: name(cloud.instance),
    region: name(cloud.region),
    zone: name(cloud.zone),
    tags: ownEntries(tags.map(([key, value]) => [name(key), shorten(value, protocolLimits.tag)])),
  };
}

/** A provider that nobody here knows, of a newer agent, is passed over. */
function readCloud(
  reader: FieldReader,
  path: string,
  value: antenna.v1.CloudFacts.$Properties,
): CloudFacts | null {
  const provider = providers.find((each) => each === value.provider);
  if (provider === undefined) return null;
  const limit = protocolLimits.name;
  const tags = reader.list(
    `${path}.tags`,
    Object.entries(value.tags ?? {}),
    protocolLimits.tags,
    ([key, text], at): [string, string] => [
      reader.words(at, key, limit),
      reader.words(at, text, protocolLimits.tag),
    ],
  );
  return {
    provider,
    instance: reader.words(`${path}.instance`, value.instance, limit),
    region: reader.words(`${path}.region`, value.region, limit),
    zone: reader.words(`${path}.zone`, value.zone, limit),
    tags: ownEntries(tags),
  };
}

/** `fromEntries` defines own properties, `__proto__` among them. */
function ownEntries(entries: readonly (readonly [string, string])[]): Record<string, string> {
  return Object.fromEntries(entries);
}

function name(text: string): string {
  return shorten(text, protocolLimits.name);
}

function isAbsent<Value>(value: Value | null | undefined): value is null | undefined {
  return value === null || value === undefined;
}
