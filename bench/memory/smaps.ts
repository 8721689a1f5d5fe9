// What the anonymous memory of a process is, by its mappings.

export interface Mappings {
  /** KiB of memory that is the process's own, by what it is mapped as. */
  readonly malloc: number;
  readonly stacks: number;
  /** Pages of programs and libraries that were written: relocations, variables. */
  readonly files: number;
  /** The rest: heaps of V8, and what is mapped by itself. */
  readonly mapped: number;
  readonly total: number;
}

const HEAD = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+)\s*(.*)$/;
const ANONYMOUS = /^Anonymous: +(\d+) kB/;
/** A thread's arena in glibc: begins at a multiple of this length, and what it has not grown into yet is reserved behind it. */
const ARENA = 64 * 2 ** 20;
const GUARD = 'no access';

interface Mapping {
  readonly from: number;
  readonly to: number;
  readonly access: string;
  readonly inode: number;
  readonly name: string;
  anonymous: number;
}

function read(smaps: string): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of smaps.split('\n')) {
    const head = HEAD.exec(line);
    if (head !== null) {
      const [, from, to, access, inode, name] = head;
      mappings.push({
        from: Number.parseInt(from, 16),
        to: Number.parseInt(to, 16),
        access,
        inode: Number(inode),
        name,
        anonymous: 0,
      });
    }
    const anonymous = ANONYMOUS.exec(line);
    const last = mappings.at(-1);
    if (anonymous !== null && last !== undefined) last.anonymous = Number(anonymous[1]);
  }
  return mappings;
}

type Kind = Exclude<keyof Mappings, 'total'>;

/** Pages and code ranges of V8 may begin where an arena could, too: what follows them is not reserved, or they are longer. */
const isArena = ({ from, to, access }: Mapping, after: Mapping | undefined): boolean =>
  from % ARENA === 0 &&
  access.startsWith('rw-') &&
  (to === from + ARENA || (after?.from === to && after.to === from + ARENA && after.access.startsWith('---')));

/** `before` is the mapping that ends where this one begins: a stack has a page behind it that nobody may touch. */
function kindOf(mapping: Mapping, before: string, after: Mapping | undefined, stackBytes: number): Kind {
  const { from, to, access, inode, name } = mapping;
  if (name === '[heap]') return 'malloc';
  if (name.startsWith('[stack')) return 'stacks';
  if (inode !== 0) return 'files';
  if (isArena(mapping, after)) return 'malloc';
  if (before === GUARD && access.startsWith('rw') && to - from >= stackBytes) return 'stacks';
  return 'mapped';
}

/** `stackBytes`: threads have stacks of at least so many. */
export function mappingsOf(smaps: string, stackBytes = 2 ** 20): Mappings {
  const sums = { malloc: 0, stacks: 0, files: 0, mapped: 0, total: 0 };
  let end = 0;
  let before = '';
  const mappings = read(smaps);
  for (const [at, mapping] of mappings.entries()) {
    const kind = kindOf(mapping, mapping.from === end ? before : '', mappings[at + 1], stackBytes);
    sums[kind] += mapping.anonymous;
    sums.total += mapping.anonymous;
    end = mapping.to;
    before = mapping.access.startsWith('---') && mapping.inode === 0 ? GUARD : mapping.access;
  }
  return sums;
}
