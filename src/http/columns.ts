// Columns of tables, one behind the other in large pieces of address space. A column is long, and most of it is never written. As a block of
// malloc's own it would cost more: such a block is either mapped separately, and malloc writes its first page (400 columns, 1.6 MiB), or
// taken from what is free in an arena, and cleared, which writes all of it (4 MiB on Node.js 24, once 19).

/** Address space to ask for at a time. A longer column has a piece of its own. */
const PIECE = 16 << 20;
const LINE = 64;
const PAGE = 4096;
/**
 * Space after a long column. Lengths are often multiples of a page, and the cells in use are mostly the first ones: without it, those of all
 * columns would compete for the same few lines of the processor's first cache.
 */
const STAGGER = 5 * LINE;

type Cells = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float64Array;

interface CellType<Column extends Cells> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer, offset: number, length: number): Column;
}

let piece = new ArrayBuffer(0);
let used = 0;

/** Columns made from now on do not share memory with earlier ones, so either can be freed first. */
export function separateColumns(): void {
  piece = new ArrayBuffer(0);
  used = 0;
}

/**
 * A column of `length` cells, all 0. It is freed together with its neighbours, so it is for what lives as long as a worker; and no memory is
 * used for a cell, or those around it, before it is written. So 0 should mean that nothing is there.
 * Its `buffer` is not its own.
 */
export function column<Column extends Cells>(Type: CellType<Column>, length: number): Column {
  const bytes = length * Type.BYTES_PER_ELEMENT;
  if (used + bytes > piece.byteLength) {
    piece = new ArrayBuffer(Math.max(PIECE, bytes));
    used = 0;
  }
  const made = new Type(piece, used, length);
  used = Math.ceil((used + bytes + (bytes < PAGE ? 0 : STAGGER)) / LINE) * LINE;
  return made;
}
