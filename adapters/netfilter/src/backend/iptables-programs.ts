import { realpathSync } from "node:fs";
import type { Family } from "@antenna/sdk";
import type { CommandRunner } from "../apply/command-runner.js";
import type { Backend } from "./rule-table.js";

const folders = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"];

/** `iptables-nft-restore` and its kin, by absolute path. */
export function iptablesProgram(
  runner: CommandRunner,
  backend: Backend,
  family: Family,
  verb: "restore" | "save",
): string {
  const name = `${family === 4 ? "iptables" : "ip6tables"}-${backend}-${verb}`;
  return runner.resolve(folders.map((folder) => `${folder}/${name}`));
}

/** The backend behind the plain name `iptables`, as the distribution's alternatives link says; null: none to be seen. */
export function linkedBackend(): Backend | null {
  for (const folder of folders) {
    try {
      const path = realpathSync(`${folder}/iptables`);
      return path.includes("legacy") ? "legacy" : "nft";
    } catch {
      // Not here.
    }
  }
  return null;
}
