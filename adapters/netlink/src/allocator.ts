import { addon } from "./addon.js";

/** malloc.h of glibc. */
const M_MMAP_THRESHOLD = -3;
/** glibc's initial limit, and its least for the size of a trim. */
const mappedBytes = 128 * 1024;

/**
 * Makes the C library's allocator, which typed arrays come from, hand large blocks back to the system when they are
 * freed. glibc does so with blocks of 128 KiB and more until the first of them is freed: then it raises the limit to
 * that block's size, up to 32 MiB, and keeps twice as much (mallopt(3), M_MMAP_THRESHOLD). For the whole process.
 *
 * @returns false where the C library knows no such limit; musl's keeps nothing large anyway.
 * @throws NetlinkError `unavailable` when the addon cannot be loaded
 */
export function returnFreedMemory(): boolean {
  return addon().allocatorOption(M_MMAP_THRESHOLD, mappedBytes) === 1;
}

/** Hands back what is free in between as well, a page at a time (malloc_trim(3)): some milliseconds. False: nothing was. */
export function trimAllocator(): boolean {
  return addon().trimAllocator() === 1;
}
