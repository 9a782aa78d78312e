import { setFlagsFromString } from "node:v8";

/**
 * Imported by the programs before anything else. A daemon that waits most of its life is better off with a small heap
 * than with a fast collector: the young generation stays at its first size of 1 MiB (it would grow to 16), and the old
 * one is collected sooner. Flags unknown to a version of V8 are passed over by it.
 */
for (const flag of ["--semi-space-growth-factor=1", "--optimize-for-size"]) setFlagsFromString(flag);
