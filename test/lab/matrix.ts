/** One question of the matrix and its two answers. */
export interface Cell {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly expected: boolean;
  readonly observed: boolean;
  /** What the policy says when it does not drop: shown beside an open path in visibility mode. */
  readonly wouldBlock: boolean;
}

/** A table for people: sources down, destinations across; wrong cells are marked. */
export function formatMatrix(cells: readonly Cell[], colour: boolean): string {
  const sources = [...new Set(cells.map((cell) => cell.from))];
  const targets = [...new Set(cells.map((cell) => `${cell.to}:${cell.port}`))];
  const width = Math.max(...targets.map((target) => target.length), 8) + 2;
  const first = Math.max(...sources.map((source) => source.length), 6) + 2;
  const head = "from".padEnd(first) + targets.map((target) => target.padEnd(width)).join("");
  const rows = sources.map((source) => {
    const marks = targets.map((target) => {
      const cell = cells.find(
        (candidate) => candidate.from === source && `${candidate.to}:${candidate.port}` === target,
      );
      return paint(markOf(cell), cell, width, colour);
    });
    return source.padEnd(first) + marks.join("");
  });
  const wrong = cells.filter((cell) => cell.expected !== cell.observed);
  const verdict =
    wrong.length === 0
      ? `all ${cells.length} paths as expected`
      : wrong
          .map(
            (cell) =>
              `WRONG ${cell.from} -> ${cell.to}:${cell.port}: expected ${word(cell.expected)}, observed ${word(cell.observed)}`,
          )
          .join("\n");
  return `${head}\n${rows.join("\n")}\n${verdict}\n`;
}

function word(open: boolean): string {
  return open ? "open" : "closed";
}

function markOf(cell: Cell | undefined): string {
  if (cell === undefined) return "";
  const wrong = cell.expected === cell.observed ? "" : " !!";
  if (!cell.observed) return `closed${wrong}`;
  return `${cell.wouldBlock ? "open (p)" : "open"}${wrong}`;
}

function paint(mark: string, cell: Cell | undefined, width: number, colour: boolean): string {
  const padded = mark.padEnd(width);
  if (!colour || cell === undefined) return padded;
  if (cell.expected !== cell.observed) return `\u001b[1;37;41m${padded}\u001b[0m`;
  if (!cell.observed) return `\u001b[31m${padded}\u001b[0m`;
  return `\u001b[${cell.wouldBlock ? "33" : "32"}m${padded}\u001b[0m`;
}
