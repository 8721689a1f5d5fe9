// Hash tables in columns: by bucket the head of a chain, by entry the next one, -1 at its end.

/** Longest chain that is searched or grown: hashes can be made to collide. */
export const MAX_CHAIN = 8;

export function chainLength(heads: Int32Array, next: Int32Array, hash: number): number {
  let length = 0;
  for (let i = heads[hash & (heads.length - 1)]; i >= 0; i = next[i]) length++;
  return length;
}

export function powerOfTwo(most: number): number {
  return 2 ** Math.floor(Math.log2(most));
}
