// Sets up what `npm start`, `npm test` and `npm run build` need, from a bare checkout: npm packages, Debian packages
// (named before they are installed, as root only), the netlink addon, compiled TypeScript. Plain JavaScript, because
// nothing is compiled yet when it runs. Usage: node test/setup.mjs build|lab|test
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const purpose = process.argv[2] ?? "build";
const oldestNode = [20, 19];

/** What must exist on the machine, and the Debian package that brings it. */
const needs = {
  build: [
    ["/usr/bin/cc", "gcc"],
    ["/usr/include/stdlib.h", "libc6-dev"],
    ["/usr/include/uv.h", "libuv1-dev"],
  ],
  lab: [
    ["/usr/sbin/iptables-nft", "iptables"],
    ["/usr/sbin/ipset", "ipset"],
    ["/usr/sbin/ip", "iproute2"],
    ["/usr/bin/nsenter", "util-linux"],
  ],
  test: [
    ["/usr/sbin/conntrack", "conntrack"],
    ["/usr/sbin/nft", "nftables"],
    ["/usr/sbin/hping3", "hping3"],
    ["/usr/sbin/sysctl", "procps"],
    ["/usr/bin/faketime", "faketime"],
  ],
};

const wanted = { build: ["build"], lab: ["build", "lab"], test: ["build", "lab", "test"] }[purpose];
if (wanted === undefined) fail(`unknown purpose ${purpose}; one of build, lab, test`, 2);

checkNode();
installNpmPackages();
installDebianPackages();
run("compile the netlink addon", process.execPath, [join(root, "adapters/netlink/native/build.mjs")], {
  optional: !isRoot(),
});
run("compile TypeScript", process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-b"], {});
run(
  "make the controller's empty database",
  process.execPath,
  [join(root, "controller-mock/make-empty-database.mjs")],
  {},
);

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])) {
    fail(`Node ${process.versions.node} is too old; install Node ${oldestNode.join(".")} or newer`, 1);
  }
}

function installNpmPackages() {
  const installed = join(root, "node_modules/.package-lock.json");
  const lock = join(root, "package-lock.json");
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  const npm = process.env.npm_execpath;
  const [file, first] = npm === undefined ? ["npm", []] : [process.execPath, [npm]];
  run("install npm packages", file, [...first, "ci", "--no-audit", "--no-fund"], {});
}

function installDebianPackages() {
  const missing = [
    ...new Set(
      wanted
        .flatMap((key) => needs[key])
        .filter(([file]) => !existsSync(file))
        .map(([, name]) => name),
    ),
  ];
  if (missing.length === 0) return;
  const words = missing.join(" ");
  if (!isRoot()) {
    say(`not root: these Debian packages are missing and stay missing: ${words}`);
    say(`what needs no root runs; for the rest: sudo apt-get install --no-install-recommends ${words}`);
    return;
  }
  if (!isDebian()) fail(`install these first (names of Debian): ${words}`, 1);
  say(`installs Debian packages: ${words}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  run("update the package lists", "/usr/bin/apt-get", ["update", "-qq"], { env });
  run(
    "install Debian packages",
    "/usr/bin/apt-get",
    ["install", "-y", "-qq", "--no-install-recommends", ...missing],
    { env },
  );
}

function isRoot() {
  return process.getuid?.() === 0;
}

function isDebian() {
  if (!existsSync("/etc/os-release") || !existsSync("/usr/bin/apt-get")) return false;
  return /^ID(_LIKE)?=.*(debian|ubuntu)/m.test(readFileSync("/etc/os-release", "utf8"));
}

function run(what, file, args, { env = process.env, optional = false }) {
  const started = performance.now();
  const result = spawnSync(file, args, {
    cwd: root,
    env,
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (result.status === 0) {
    const seconds = (performance.now() - started) / 1000;
    if (seconds > 2) say(`${what}: ${seconds.toFixed(1)} s`);
    return;
  }
  const words = `${result.stdout ?? ""}${result.stderr ?? ""}${result.error?.message ?? ""}`.trim();
  if (optional) return say(`could not ${what} (goes on without): ${words}`);
  fail(
    `could not ${what}: ${file} ${args.join(" ")} ended with ${result.status ?? result.signal}\n${words}`,
    1,
  );
}

function say(words) {
  process.stderr.write(`setup: ${words}\n`);
}

function fail(words, code) {
  say(words);
  process.exit(code);
}
