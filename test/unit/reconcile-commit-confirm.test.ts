import assert from "node:assert/strict";
import { createServer } from "node:net";
import { describe, test } from "node:test";
import { type Clock, parsePolicy, systemClock } from "@antenna/sdk";
import { CommitConfirm } from "@antenna/sdk/internal/reconcile/commit-confirm.js";
import { openTcp, type PathAnswer, type PathAttempt } from "@antenna/sdk/internal/reconcile/path-attempt.js";

const policy = parsePolicy(Buffer.from("mode: full\n"));
/** A clock on which a second passes in ten milliseconds. */
const fast: Clock = {
  now: () => performance.now() * 100,
  date: () => new Date(),
  after: (delayMs, call) => systemClock.after(delayMs / 100, call),
};

function attempt(name: string, answers: (PathAnswer | "silent" | "hang")[], more: Partial<PathAttempt> = {}) {
  const tries: number[] = [];
  const path: PathAttempt = {
    name,
    refusalSuffices: false,
    denial: () => null,
    open: async (signal) => {
      tries.push(fast.now());
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer === "hang")
        await new Promise((done) => signal.addEventListener("abort", done, { once: true }));
      if (answer === "silent" || answer === "hang" || answer === undefined) throw new Error("no answer");
      return answer;
    },
    ...more,
  };
  return { path, tries };
}

function trial(...attempts: readonly { readonly path: PathAttempt }[]): CommitConfirm {
  const { signal } = new AbortController();
  return new CommitConfirm(
    attempts.map(({ path }) => path),
    { clock: fast, signal },
  );
}

// A ref'd timer: those of the clocks keep nobody alive.
const awake = setInterval(() => {}, 1_000);
test.after(() => clearInterval(awake));

describe("a policy on trial", () => {
  test("is confirmed when each path has worked once, and tries none of them again", async () => {
    const controller = attempt("the controller", ["silent", "silent", "answered"]);
    const canary = attempt("canary", ["refused"], { refusalSuffices: true });
    assert.deepEqual(await trial(controller, canary).run(policy, 15_000), { kind: "confirmed" });
    assert.equal(controller.tries.length, 3);
    assert.equal(canary.tries.length, 1);
  });

  test("without any path is confirmed at once", async () => {
    assert.deepEqual(await trial().run(policy, 15_000), { kind: "confirmed" });
  });

  test("that denies what failed is not waited for", async () => {
    const began = fast.now();
    const controller = attempt("the controller", ["hang"]);
    const canary = attempt("canary", ["hang"], { denial: () => "the default of mode full denies it" });
    const result = await trial(controller, canary).run(policy, 15_000);
    assert.equal(result.kind, "denied");
    assert.match(
      result.kind === "denied" ? result.reason : "",
      /^canary: the default of mode full denies it/,
    );
    assert.ok(fast.now() - began < 5_000, `${fast.now() - began} ms`);
  });

  test("that would deny a path which works is not blamed", async () => {
    const canary = attempt("canary", ["answered"], { denial: () => "denied" });
    assert.deepEqual(await trial(canary).run(policy, 15_000), { kind: "confirmed" });
  });

  test("ends with its window, and says which paths were silent", async () => {
    const began = fast.now();
    const controller = attempt("the controller", ["hang"]);
    const result = await trial(controller, attempt("canary", ["answered"])).run(policy, 4_000);
    assert.deepEqual(result, { kind: "silent", waiting: ["the controller"] });
    assert.ok(fast.now() - began < 6_000, `${fast.now() - began} ms`);
  });

  test("is not to blame when a dead controller's host refuses", async () => {
    const result = await trial(attempt("the controller", ["refused"])).run(policy, 3_000);
    assert.deepEqual(result, { kind: "open", waiting: ["the controller"] });
  });

  test("that refuses a connection itself has not let it through", async () => {
    const canary = attempt("canary", ["refused"], {
      refusalSuffices: true,
      denial: () => "rule x denies it",
    });
    const result = await trial(canary).run(policy, 15_000);
    assert.deepEqual(result, { kind: "denied", reason: "canary: rule x denies it (connection refused)" });
    assert.equal(await trial(canary).works(policy, 2_000), false);
    assert.equal(await trial(canary).works(null, 2_000), true);
  });

  test("is compared with the policy before by one more try of what was silent", async () => {
    const controller = attempt("the controller", ["silent"]);
    const confirm = trial(controller, attempt("canary", ["answered"]));
    await confirm.run(policy, 2_000);
    assert.equal(await confirm.works(null, 2_000), false);
    const other = trial(attempt("the controller", ["refused"]));
    assert.equal(await other.works(null, 2_000), true);
  });

  test("ends at once with its agent", async () => {
    const ending = new AbortController();
    const { path } = attempt("the controller", ["hang"]);
    const running = new CommitConfirm([path], { clock: fast, signal: ending.signal }).run(policy, 60_000);
    ending.abort();
    await assert.rejects(running, { name: "AbortError" });
  });
});

test("a TCP connection tells an answer from a refusal, and silence from both", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const { signal } = new AbortController();
  assert.equal(await openTcp("127.0.0.1", port, signal), "answered");
  await new Promise((done) => server.close(done));
  assert.equal(await openTcp("127.0.0.1", port, signal), "refused");
  await assert.rejects(openTcp("127.0.0.1", port, AbortSignal.abort()), /no answer in time/);
});
