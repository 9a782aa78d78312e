import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { namedCloud, readCloud } from "@antenna/host/internal/cloud/cloud-facts.js";
import { workloadAddresses } from "@antenna/host/internal/interface-addresses.js";
import { parseOsRelease } from "@antenna/host/internal/operating-system.js";
import { type MachineFacts, machineKind } from "@antenna/host/internal/virtualization.js";
import type { Link, LocalAddress } from "@antenna/netlink";
import { parseAddress } from "@antenna/sdk";

const unknownMachine: MachineFacts = { vendor: "", product: "", chassisTag: "", bios: "" };

function link(index: number, name: string, more: Partial<Link> = {}): Link {
  return { index, name, loopback: false, kind: null, master: null, ...more };
}

function address(interfaceIndex: number, text: string, prefix: number, flags = 0): LocalAddress {
  const bytes = parseAddress(text);
  return { family: bytes.length === 4 ? 4 : 6, address: bytes, prefix, interfaceIndex, flags };
}

describe("addresses of a workload", () => {
  test("leave out loopback, link-local, multicast and unusable ones", () => {
    const links = [link(1, "lo", { loopback: true }), link(2, "eth0")];
    const found = workloadAddresses(links, [
      address(1, "127.0.0.1", 8),
      address(1, "10.9.9.9", 32),
      address(2, "169.254.10.1", 16),
      address(2, "224.0.0.5", 32),
      address(2, "0.0.0.0", 32),
      address(2, "fe80::1", 64),
      address(2, "fd00::7", 64, 0x40),
      address(2, "fd00::8", 64, 0x08),
      address(2, "fd00::9", 64),
      address(2, "10.0.0.20", 24),
      address(2, "10.0.0.3", 24),
      address(3, "10.7.7.7", 24),
    ]);
    assert.deepEqual(
      found.map((entry) => entry.address),
      ["10.0.0.3", "10.0.0.20", "fd00::9"],
    );
    assert.ok(found.every(({ scope, interface: name }) => scope === "routable" && name === "eth0"));
  });

  test("on a bridge without hardware are known to the host alone", () => {
    const links = [
      link(2, "eth0", { master: 4 }),
      link(3, "docker0", { kind: "bridge" }),
      link(4, "br0", { kind: "bridge" }),
      link(5, "veth1", { kind: "veth", master: 3 }),
      link(6, "kube-ipvs0", { kind: "dummy" }),
    ];
    const found = workloadAddresses(links, [
      address(3, "172.17.0.1", 16),
      address(4, "10.0.0.1", 24),
      address(6, "10.96.0.1", 32),
    ]);
    assert.deepEqual(
      found.map(({ interface: name, scope }) => [name, scope]),
      [
        ["br0", "routable"],
        ["kube-ipvs0", "virtual"],
        ["docker0", "host"],
      ],
    );
  });
});

test("os-release(5), quoted or not, rolling or not", () => {
  assert.deepEqual(parseOsRelease('PRETTY_NAME="Debian"\nVERSION_ID="12"\nID=debian\n'), {
    name: "debian",
    version: "12",
  });
  assert.deepEqual(parseOsRelease("ID='arch'\nID_LIKE=x\n"), { name: "arch", version: "" });
  assert.deepEqual(parseOsRelease("garbage"), { name: "linux", version: "" });
});

test("machines are told by their firmware", () => {
  assert.equal(machineKind({ ...unknownMachine, vendor: "Amazon EC2" }), "kvm");
  assert.equal(machineKind({ ...unknownMachine, vendor: "VMware, Inc." }), "vmware");
  assert.equal(
    machineKind({ ...unknownMachine, vendor: "Microsoft Corporation", product: "Virtual Machine" }),
    "hyperv",
  );
  assert.equal(machineKind({ ...unknownMachine, vendor: "LENOVO" }), null);
  assert.equal(namedCloud({ ...unknownMachine, vendor: "Amazon EC2" }), "aws");
  assert.equal(namedCloud({ ...unknownMachine, chassisTag: "7783-7084-3265-9085-8269-3286-77" }), "azure");
  assert.equal(namedCloud({ ...unknownMachine, product: "Google Compute Engine" }), "gcp");
  assert.equal(namedCloud({ ...unknownMachine, product: "OpenStack Nova" }), "openstack");
  assert.equal(namedCloud({ ...unknownMachine, vendor: "QEMU" }), null);
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

async function metadata(answer: Answer): Promise<Server & AsyncDisposable> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  return server;
}

function at(server: Server): { readonly host: string; readonly port: number } {
  return { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
}

function json(response: ServerResponse, value: unknown): void {
  response.end(JSON.stringify(value));
}

describe("a cloud's metadata service", () => {
  const signal = new AbortController().signal;

  test("of AWS is asked with a token only", async () => {
    await using server = await metadata((request, response) => {
      const authorised = request.headers["x-aws-ec2-metadata-token"] === "secret-token";
      if (request.method === "PUT" && request.url === "/latest/api/token") response.end("secret-token");
      else if (!authorised) response.writeHead(401).end();
      else if (request.url === "/latest/dynamic/instance-identity/document")
        json(response, { instanceId: "i-1", region: "eu-west-1", availabilityZone: "eu-west-1a" });
      else if (request.url === "/latest/meta-data/tags/instance") response.end("Name\nrole");
      else if (request.url === "/latest/meta-data/tags/instance/role") response.end("web");
      else response.writeHead(404).end();
    });
    assert.deepEqual(await readCloud(at(server), unknownMachine, signal), {
      provider: "aws",
      instance: "i-1",
      region: "eu-west-1",
      zone: "eu-west-1a",
      tags: { Name: "", role: "web" },
    });
  });

  test("of Azure", async () => {
    await using server = await metadata((request, response) => {
      if (request.headers.metadata !== "true" || !request.url?.startsWith("/metadata/instance/compute"))
        response.writeHead(400).end();
      else
        json(response, {
          vmId: "v-1",
          location: "westeurope",
          zone: "2",
          tagsList: [{ name: "a", value: "b" }],
        });
    });
    const facts = await readCloud(at(server), unknownMachine, signal);
    assert.deepEqual(facts, {
      provider: "azure",
      instance: "v-1",
      region: "westeurope",
      zone: "2",
      tags: { a: "b" },
    });
  });

  test("of Google", async () => {
    await using server = await metadata((request, response) => {
      if (request.headers["metadata-flavor"] !== "Google") response.writeHead(403).end();
      else
        json(response, {
          id: 4711,
          zone: "projects/1/zones/europe-west1-b",
          tags: ["http"],
          attributes: { secret: "x" },
        });
    });
    const facts = await readCloud(at(server), { ...unknownMachine, vendor: "Google" }, signal);
    assert.deepEqual(facts, {
      provider: "gcp",
      instance: "4711",
      region: "europe-west1",
      zone: "europe-west1-b",
      tags: { http: "" },
    });
  });

  test("of OpenStack", async () => {
    await using server = await metadata((request, response) => {
      if (request.url !== "/openstack/latest/meta_data.json") response.writeHead(404).end();
      else json(response, { uuid: "u-1", availability_zone: "nova", meta: { tier: "db" } });
    });
    const facts = await readCloud(at(server), unknownMachine, signal);
    assert.deepEqual(facts, {
      provider: "openstack",
      instance: "u-1",
      region: "",
      zone: "nova",
      tags: { tier: "db" },
    });
  });

  test("that sends garbage, too much or nothing is no cloud", async () => {
    for (const answer of [
      (_, response) => response.end("{ not json"),
      (_, response) => response.end(Buffer.alloc(1_000_000, "a")),
      (_, response) => response.end('["a"]'),
      () => {},
      (request) => request.socket.destroy(),
    ] satisfies Answer[]) {
      const server = await metadata(answer);
      assert.equal(await readCloud(at(server), unknownMachine, signal), null);
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    }
  });
});
