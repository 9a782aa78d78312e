#!/usr/bin/env -S MALLOC_ARENA_MAX=1 UV_THREADPOOL_SIZE=2 node --max-semi-space-size=1 --v8-pool-size=0
import "../dist/lean-heap.js";

process.argv.splice(2, 0, "run");
await import("../dist/main.js");
