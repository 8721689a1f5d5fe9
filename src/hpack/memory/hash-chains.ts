// Hash tables in columns: the head of a chain per bucket, the next entry per entry, -1 at its end.

/** Maximum length of a chain: hashes can be made to collide. */
export const MAX_CHAIN = 8;

export function chainLength(heads: Int32Array, next: Int32Array, hash: number): number {
  let length = 0;
  for (let i = heads[hash & (heads.length - 1)]; i >= 0; i = next[i]) length++;
  return length;
}

export function powerOfTwo(max: number): number {
  return 2 ** Math.floor(Math.log2(max));
}
