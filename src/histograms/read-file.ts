// Reads histogram files from disk: logs and .hgrm, recognised by their content.
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { looksLikeHgrm } from './hgrm-file.js';
import { HistogramFileError } from './log-file.js';

const MAX_BYTES = 512 * 1024 * 1024;
const PIECE_BYTES = 64 * 1024;

export interface HistogramFile {
  readonly kind: 'log' | 'hgrm';
  readonly text: string;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'it may not be read',
  EISDIR: 'it is a directory',
};

function readStream(file: string): Buffer {
  const pieces: Buffer[] = [];
  const from = openSync(file, 'r');
  try {
    for (let bytes = 0; ; ) {
      const piece = Buffer.alloc(PIECE_BYTES);
      const count = readSync(from, piece);
      if (count === 0) return Buffer.concat(pieces);
      bytes += count;
      if (bytes > MAX_BYTES) throw new HistogramFileError(`${file}: more than 512 MiB are not read`);
      pieces.push(piece.subarray(0, count));
      // A file that is not text is not read to its end.
      if (piece.subarray(0, count).includes(0)) return Buffer.concat(pieces);
    }
  } finally {
    closeSync(from);
  }
}

/** Throws a HistogramFileError that names the file. */
export function readHistogramFile(file: string): HistogramFile {
  let octets: Buffer;
  try {
    const found = statSync(file);
    if (found.size > MAX_BYTES) throw new HistogramFileError(`${file}: more than 512 MiB are not read`);
    // A pipe or a device has no size, and may be endless.
    octets = found.isFile() || found.isDirectory() ? readFileSync(file) : readStream(file);
  } catch (error) {
    if (error instanceof HistogramFileError) throw error;
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new HistogramFileError(`${file}: ${REASONS[code] ?? message}`);
  }
  if (octets.length === 0) throw new HistogramFileError(`${file}: it is empty`);
  if (octets[0] === 0x1f && octets[1] === 0x8b)
    throw new HistogramFileError(`${file}: it is compressed with gzip; unpack it first`);
  if (octets.includes(0)) throw new HistogramFileError(`${file}: it is not text, and so neither a log nor a .hgrm`);
  const text = octets.toString('utf8');
  if (looksLikeHgrm(text)) return { kind: 'hgrm', text };
  if (/^(#|"StartTimestamp"|Tag=|[\d.]+,)/.test(text)) return { kind: 'log', text };
  throw new HistogramFileError(`${file}: it is neither a log of HdrHistogram nor a .hgrm`);
}
