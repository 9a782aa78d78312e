export { FakeClock } from "./fake-clock.js";
export { FakeConnections } from "./fake-connections.js";
export { FakeKernel, type ForeignChange } from "./fake-kernel.js";
export { FakePacketFilter, fakePacketFilterProvider } from "./fake-packet-filter.js";
export { FakeSet } from "./fake-set.js";
export { type LogEntry, MemoryLogger } from "./memory-logger.js";
export { type PacketFilterFixture, packetFilterContract } from "./packet-filter-contract.js";
