import { closeSync, fsyncSync, openSync } from "node:fs";
import { NodeFS } from "@electric-sql/pglite/nodefs";

type Options = Parameters<NodeFS["init"]>[1];
type Initialised = ReturnType<NodeFS["init"]>;

/** What PostgreSQL's fsync() is about: a file that is open in the file system of Emscripten. */
interface OpenStream {
  /** Node's own descriptor; directories have none. */
  readonly nfd?: number;
  readonly node: unknown;
}

interface HostedFiles {
  readonly stream_ops: { fsync?: (stream: OpenStream) => number };
  realPath(node: unknown): string;
}

/**
 * PGlite's files on the host's disk, with an fsync(2) that is one. PGlite's own NODEFS has none (0.5.16: the call does nothing
 * and succeeds), and PGlite starts PostgreSQL with `-F`; with both mended, what a commit wrote survives a loss of power.
 */
export class SyncedFileSystem extends NodeFS {
  override async init(database: Parameters<NodeFS["init"]>[0], options: Options): Initialised {
    const { emscriptenOpts } = await super.init(database, options);
    const install = (module: unknown): void => {
      const { NODEFS } = module as { readonly NODEFS: HostedFiles };
      NODEFS.stream_ops.fsync = (stream) => sync(NODEFS, stream);
    };
    const { preRun } = emscriptenOpts;
    const before = Array.isArray(preRun) ? preRun : [];
    return { emscriptenOpts: { ...emscriptenOpts, preRun: [install, ...before] } as Options };
  }
}

function sync(files: HostedFiles, { nfd, node }: OpenStream): number {
  if (nfd !== undefined) {
    fsyncSync(nfd);
    return 0;
  }
  const directory = openSync(files.realPath(node), "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
  return 0;
}
