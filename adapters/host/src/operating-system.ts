import { readFile } from "node:fs/promises";
import { release } from "node:os";
import type { OperatingSystem } from "@antenna/sdk";

const files = ["/etc/os-release", "/usr/lib/os-release"];

/** os-release(5) and uname(2). A host without os-release is `linux` of no version. */
export async function readOperatingSystem(): Promise<OperatingSystem> {
  for (const file of files) {
    const text = await readFile(file, "utf8").catch(() => null);
    if (text !== null) return { ...parseOsRelease(text), kernel: release(), arch: process.arch };
  }
  return { name: "linux", version: "", kernel: release(), arch: process.arch };
}

/** `ID` and `VERSION_ID`; rolling distributions have no version. */
export function parseOsRelease(text: string): { readonly name: string; readonly version: string } {
  const value = (key: string): string | undefined => {
    const found = new RegExp(`^${key}=(?:"([^"]*)"|'([^']*)'|(\\S*))\\s*$`, "m").exec(text);
    return (found?.[1] ?? found?.[2] ?? found?.[3])?.slice(0, longest);
  };
  return { name: value("ID") || "linux", version: value("VERSION_ID") ?? "" };
}

const longest = 64;
