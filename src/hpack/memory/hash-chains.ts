// Hash tables in columns: the head of a chain per bucket, the next entry per entry. Both are an entry plus 1, 0 at the end, so that an
// empty table takes no memory. There are fewer than 65,535 entries.

/** Maximum length of a chain: hashes can be made to collide. */
export const MAX_CHAIN = 8;

export function chainLength(heads: Uint16Array, next: Uint16Array, hash: number): number {
  let length = 0;
  for (let i = heads[hash & (heads.length - 1)]; i > 0; i = next[i - 1]) length++;
  return length;
}

export function powerOfTwo(max: number): number {
  return 2 ** Math.floor(Math.log2(max));
}
