import assert from "node:assert/strict";
import { test } from "node:test";
import { Watch, type WatchOptions } from "@antenna/netfilter/internal/watch/watch.js";
import { ScriptedTransport } from "@antenna/netlink/testing";
import { type ChangeNotice, compile, type Installed, planSafe } from "@antenna/sdk";
import { FakeClock, MemoryLogger } from "@antenna/sdk/testing";
import { webPolicy } from "./reconcile-fixture.js";

function installedWeb(): Installed {
  const program = compile(webPolicy(["10.0.0.2"]), { essentials: [] });
  assert.ok(program !== null);
  return planSafe(null, program, new Set()).installed;
}

/** What each check calls, and the least that shows why it fails. */
const failures = [
  { what: "members that can't be listed", call: "memberDifferences", scope: "members" },
  { what: "headers that can't be listed", call: "countDifferences", scope: "counts" },
  { what: "rules that can't be read", call: "unchanged", scope: "rules" },
  { what: "a backend that can't be found out", call: "look", scope: "rules" },
] as const;

for (const { what, call, scope } of failures) {
  test(`${what}: told again and again as something to verify to that depth, until a problem says why`, async () => {
    const refuse = (name: string, answer: unknown) => () => {
      if (name === call) throw new Error("EMSGSIZE");
      return answer;
    };
    const clock = new FakeClock();
    const watch = new Watch({
      keeper: { backend: "legacy", movedTo: null, look: refuse("look", undefined), compare: () => [] },
      sets: {
        countDifferences: refuse("countDifferences", []),
        memberDifferences: refuse("memberDifferences", []),
      },
      legacy: { entries: 0, unchanged: refuse("unchanged", true) },
      netlink: new ScriptedTransport(),
      clock,
      logger: new MemoryLogger(),
    } as unknown as WatchOptions);
    const notices: ChangeNotice[] = [];
    watch.start(installedWeb(), (notice) => void notices.push(notice));
    for (let ms = 0; ms < 120_000; ms += 5_000) await clock.advance(5_000);
    watch.stop();
    assert.ok(notices.length >= 2, `told ${notices.length} times`);
    assert.deepEqual([...new Set(notices.map((notice) => notice.scope))], [scope]);
    assert.match(notices[0]?.reason ?? "", /EMSGSIZE/);
  });
}
