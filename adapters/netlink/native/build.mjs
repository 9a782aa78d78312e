// Compiles the addon: `node native/build.mjs` for this machine, `--all` for every platform of the packed package.
// No node-gyp: one file, no library to link; Node brings every symbol (see docs/decisions/netlink-addon.md).
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import nodeApiHeaders from "node-api-headers";

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, "netlink.c");
const uvHeader = "/usr/include/uv.h";

const targets = [
  {
    arch: "x64",
    compiler: "/usr/bin/cc",
    crossCompiler: "/usr/bin/x86_64-linux-gnu-gcc",
    debian: "gcc-x86-64-linux-gnu",
  },
  {
    arch: "arm64",
    compiler: "/usr/bin/cc",
    crossCompiler: "/usr/bin/aarch64-linux-gnu-gcc",
    debian: "gcc-aarch64-linux-gnu",
  },
];

const options = [
  ...[
    "-shared",
    "-fPIC",
    "-O2",
    "-nostdlib",
    "-std=gnu11",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fvisibility=hidden",
  ],
  // Checked variants of C library functions exist in some C libraries only; the binary has to load with all of them.
  "-U_FORTIFY_SOURCE",
  // A symbol that is missing is told when the addon loads, never at the first call.
  ...["-Wl,-z,now", "-Wl,-z,relro", "-Wl,-z,noexecstack"],
];

function missing(what, debianPackage) {
  console.error(`netlink addon: ${what} is missing: apt-get install ${debianPackage}`);
  process.exit(1);
}

function build({ arch, compiler, crossCompiler, debian }, folder) {
  const output = join(here, "..", folder, `linux-${arch}`, "netlink.node");
  const newest = Math.max(...[source, fileURLToPath(import.meta.url)].map((file) => statSync(file).mtimeMs));
  if (existsSync(output) && statSync(output).mtimeMs >= newest) return;

  const native = arch === process.arch;
  const program = native ? compiler : crossCompiler;
  if (!existsSync(program))
    missing(
      program,
      native ? "gcc libc6-dev" : `${debian} libc6-dev-${arch === "x64" ? "amd64" : arch}-cross`,
    );
  if (!existsSync("/usr/include/linux/netlink.h")) missing("/usr/include/linux/netlink.h", "libc6-dev");
  if (!existsSync(uvHeader)) missing(uvHeader, "libuv1-dev");

  // A cross compiler must not see the host's C library: uv.h and its folder come by -idirafter, searched last.
  const argv = [...options, "-isystem", nodeApiHeaders.include_dir, "-idirafter", dirname(uvHeader)];
  mkdirSync(dirname(output), { recursive: true });
  const unfinished = `${output}.${process.pid}`;
  try {
    execFileSync(program, [...argv, source, "-o", unfinished], { stdio: ["ignore", "inherit", "inherit"] });
  } catch {
    process.exit(1);
  }
  // Two builds at once: each renames a whole file, a process that has the old one loaded keeps it.
  renameSync(unfinished, output);
  console.log(`netlink addon: built ${folder}/linux-${arch}/netlink.node`);
}

if (process.platform !== "linux") {
  console.error(`netlink addon: not built, it is for Linux and this is ${process.platform}`);
  process.exit(process.argv.includes("--all") ? 1 : 0);
}
if (process.argv.includes("--all")) {
  for (const target of targets) build(target, "prebuilds");
} else {
  const target = targets.find(({ arch }) => arch === process.arch);
  if (target === undefined) {
    console.error(
      `netlink addon: no target for linux-${process.arch}; supported: ${targets.map(({ arch }) => arch).join(", ")}`,
    );
    process.exit(1);
  }
  build(target, "build");
}
