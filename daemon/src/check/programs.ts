import type { CheckItem } from "../documents.js";
import { findProgram, runProgram } from "./program.js";

export interface IptablesFacts {
  readonly items: readonly CheckItem[];
  /** What the plain name `iptables` writes. */
  readonly backend: "nft" | "legacy";
}

/** The programs that write rules, by their own word: none of these calls looks into a table. */
export async function checkIptables(): Promise<IptablesFacts> {
  const [v4, v6] = await Promise.all([checkIptablesOf("iptables"), checkIptablesOf("ip6tables")]);
  const items = [v4.item, v6.item];
  if (v4.backend !== null && v6.backend !== null && v4.backend !== v6.backend) {
    const advice = "iptables and ip6tables write different backends; set both by update-alternatives(1)";
    items.push({ name: "backends", state: "yellow", found: `${v4.backend}, ${v6.backend}`, advice });
  }
  return { items, backend: v4.backend ?? "nft" };
}

async function checkIptablesOf(
  name: "iptables" | "ip6tables",
): Promise<{ readonly item: CheckItem; readonly backend: "nft" | "legacy" | null }> {
  const missing = ["", "-restore", "-save"]
    .map((suffix) => `${name}${suffix}`)
    .filter((it) => findProgram(it) === null);
  const [first] = missing;
  if (first !== undefined) {
    const advice = `${first} is not installed; install the package iptables`;
    return { item: { name, state: "red", found: null, advice }, backend: null };
  }
  const { stdout, stderr, ok } = await runProgram(findProgram(name) ?? name, ["--version"]);
  // `iptables v1.8.9 (nf_tables)`
  const match = /v(\d+(?:\.\d+)*)\s*(?:\((\w+)\))?/.exec(stdout);
  if (!ok || match === null) {
    return {
      item: { name, state: "red", found: null, advice: `${name} --version fails: ${stderr.trim()}` },
      backend: null,
    };
  }
  const backend = match[2] === "nf_tables" ? "nft" : "legacy";
  return { item: { name, state: "green", found: `${match[1]} (${backend})`, advice: null }, backend };
}

export async function checkIpset(): Promise<CheckItem> {
  const name = "ipset";
  const file = findProgram("ipset");
  if (file === null) {
    return {
      name,
      state: "yellow",
      found: null,
      advice: "sets are written without it, but install the package ipset to look at them",
    };
  }
  // `ipset help`, not `ipset version`: the latter asks the kernel, which loads a module.
  const { stdout } = await runProgram(file, ["help"]);
  const version = /ipset v(\S+?),?$/m.exec(stdout)?.[1] ?? null;
  return { name, state: "green", found: version, advice: null };
}
