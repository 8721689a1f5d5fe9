// What a shared object says of itself: the parts of ELF that tell a prebuilt module for one machine from another's.

export interface SharedObject {
  /** `x64`, `arm64` or the number of the machine. */
  readonly machine: string;
  /** Libraries that it needs. */
  readonly needed: readonly string[];
  /** Symbols that it defines for others. */
  readonly defined: readonly string[];
  /** Symbols that others must define. */
  readonly undefinedSymbols: readonly string[];
  /** The latest glibc that it asks for, 0 if for none: 228 is 2.28. */
  readonly glibc: number;
}

const MACHINES: Readonly<Record<number, string>> = { 62: 'x64', 183: 'arm64' };
const DYNAMIC = 6;
const DYNSYM = 11;

/** Reads a 64-bit little-endian shared object; throws where it is none. */
export function sharedObject(bytes: Buffer): SharedObject {
  if (bytes.subarray(0, 6).toString('latin1') !== '\x7fELF\x02\x01') throw new Error('no 64-bit little-endian ELF');
  if (bytes.readUInt16LE(16) !== 3) throw new Error('no shared object');
  const number = (at: number): number => Number(bytes.readBigUInt64LE(at));
  const text = (at: number): string => bytes.toString('latin1', at, bytes.indexOf(0, at));
  const table = number(40);
  const sections = Array.from({ length: bytes.readUInt16LE(60) }, (_, index) => {
    const at = table + index * 64;
    const link = bytes.readUInt32LE(at + 40);
    return { type: bytes.readUInt32LE(at + 4), from: number(at + 24), size: number(at + 32), link };
  });
  const needed: string[] = [];
  const defined: string[] = [];
  const undefinedSymbols: string[] = [];
  for (const { type, from, size, link } of sections) {
    if (type !== DYNAMIC && type !== DYNSYM) continue;
    const names = sections[link].from;
    if (type === DYNAMIC) {
      for (let at = from; at < from + size; at += 16) if (number(at) === 1) needed.push(text(names + number(at + 8)));
    } else {
      for (let at = from + 24; at < from + size; at += 24) {
        const symbol = text(names + bytes.readUInt32LE(at));
        if (bytes.readUInt16LE(at + 6) === 0) undefinedSymbols.push(symbol);
        else defined.push(symbol);
      }
    }
  }
  const versions = [...bytes.toString('latin1').matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(
    ([, major, minor]) => Number(major) * 100 + Number(minor),
  );
  const machine = bytes.readUInt16LE(18);
  return {
    machine: MACHINES[machine] ?? String(machine),
    needed,
    defined,
    undefinedSymbols,
    glibc: Math.max(0, ...versions),
  };
}
