import { FakeKernel, FakePacketFilter, packetFilterContract } from "@antenna/sdk/testing";

packetFilterContract("fake", () => {
  const kernel = new FakeKernel();
  return Promise.resolve({
    open: () => Promise.resolve(new FakePacketFilter(kernel)),
    passes: (packet) => Promise.resolve(kernel.decide(packet).verdict !== "blocked"),
    foreign: {
      async flushRules(family) {
        kernel.flushRules(family);
      },
      async insertBefore(family) {
        kernel.insertBefore(family);
      },
      async takeMember(instance, address) {
        kernel.dropEntry(instance.name, address);
      },
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});
