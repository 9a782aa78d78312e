import { connect } from "node:net";
import { AntennaError, grpcLink } from "@antenna/sdk";
import type { Configuration } from "../config/keys.js";
import type { CheckItem } from "../documents.js";
import { ControllerWay, controllerAddresses, splitController } from "../run/controller-way.js";
import type { Platform } from "../run/platform.js";
import { findResolvers, resolvConfOf } from "../run/resolvers.js";

const connectMs = 3_000;

/** Has this host an identity, and is the way to its controller open? Nothing where no controller is configured. */
export async function checkController(
  system: Platform,
  values: Configuration,
): Promise<readonly CheckItem[]> {
  const { controller } = values;
  if (controller === null) return [];
  return [await checkIdentity(controller, values.stateDir), await checkWay(system, controller, values)];
}

async function checkIdentity(controller: string, stateDir: string): Promise<CheckItem> {
  const name = "identity";
  try {
    await using link = grpcLink({ controller, stateDir });
    const { workload } = link;
    const advice = workload === null ? `run \`antenna pair --controller ${controller}\`` : null;
    return { name, state: advice === null ? "green" : "yellow", found: workload, advice };
  } catch (reason) {
    const { message } = AntennaError.from(reason, "read the identity");
    return { name, state: "yellow", found: null, advice: message };
  }
}

/** A TCP connection that says nothing, and the owner's rules if there is none. */
async function checkWay(system: Platform, controller: string, values: Configuration): Promise<CheckItem> {
  const name = "controller";
  const { host, port } = splitController(controller);
  const addresses = await controllerAddresses(host).catch(() => []);
  const failures: string[] = [];
  for (const address of addresses) {
    const failure = await tryConnect(address, port);
    if (failure === null) return { name, state: "green", found: `${controller} answers`, advice: null };
    failures.push(failure);
  }
  const { servers } = await findResolvers(await resolvConfOf(null));
  const way = new ControllerWay({
    controller,
    resolvers: () => servers,
    foreign: async (packet) => {
      const question = { ...packet, direction: "out" } as const;
      return await system.foreignRules(null, question, { accepted: values.onAllow === "accept" });
    },
  });
  const rule = await way.inTheWay();
  const trouble =
    addresses.length === 0 ? `the name ${host} can't be resolved` : (failures[0] ?? "no answer");
  const advice =
    rule ?? "see that it runs, and that the network lets this host reach it; enforcement does not need it";
  return { name, state: "yellow", found: trouble, advice };
}

/** What went wrong; null: somebody answers. */
function tryConnect(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: connectMs });
    const end = (words: string | null): void => {
      socket.destroy();
      resolve(words);
    };
    socket.once("connect", () => end(null));
    socket.once("timeout", () => end(`${host} port ${port}: no answer in ${connectMs / 1_000} s`));
    socket.once("error", (reason) => end(reason.message));
  });
}
