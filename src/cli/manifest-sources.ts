// Where manifests come from: files, folders, URLs, the standard input.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { type Manifest, ManifestProblem, MOST_BYTES, readManifest } from '../inject/manifests.js';
import { messageOf } from './usage.js';

const EXTENSIONS = /\.(ya?ml|json)$/i;
/** Files of a folder. */
const MOST_FILES = 10_000;
const URL_TIMEOUT_MS = 30_000;
const STDIN = 'standard input';

const problem = (file: string, what: string): ManifestProblem => new ManifestProblem(file, 0, 0, what);

/** Not more than may be: whoever sends without end is cut off. */
async function collected(stream: AsyncIterable<Uint8Array>, file: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > MOST_BYTES) throw problem(file, `is larger than ${MOST_BYTES >> 20} MiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function decoded(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw problem(file, 'is no UTF-8');
  }
}

async function fromUrl(url: string): Promise<Manifest> {
  let response: Response;
  let bytes: Buffer;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(URL_TIMEOUT_MS) });
    if (!response.ok) throw problem(url, `is answered with ${response.status} ${response.statusText}`);
    bytes = response.body === null ? Buffer.alloc(0) : await collected(response.body, url);
  } catch (error) {
    if (error instanceof ManifestProblem) throw error;
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw problem(url, `cannot be fetched: ${messageOf(cause)}`);
  }
  return readManifest(decoded(bytes, url), url);
}

async function fromFile(file: string): Promise<Manifest> {
  let size: number;
  let bytes: Buffer;
  try {
    ({ size } = await stat(file));
    if (size > MOST_BYTES) throw problem(file, `is larger than ${MOST_BYTES >> 20} MiB`);
    bytes = await readFile(file);
  } catch (error) {
    if (error instanceof ManifestProblem) throw error;
    throw problem(file, `cannot be read: ${(error as NodeJS.ErrnoException).code ?? messageOf(error)}`);
  }
  return readManifest(decoded(bytes, file), file);
}

/** Manifests in a folder and those below it, by name. */
async function fromFolder(folder: string): Promise<Manifest[]> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => EXTENSIONS.test(name)).sort();
  if (names.length === 0) throw problem(folder, 'has no files that end in .yaml, .yml or .json');
  if (names.length > MOST_FILES) throw problem(folder, `has more than ${MOST_FILES} manifests`);
  const manifests: Manifest[] = [];
  for (const name of names) {
    const file = join(folder, name);
    if ((await stat(file)).isFile()) manifests.push(await fromFile(file));
  }
  return manifests;
}

/** All manifests of one argument. Throws a ManifestProblem. */
export async function manifestsFrom(source: string, stdin: Readable): Promise<Manifest[]> {
  if (source === '-') return [readManifest(decoded(await collected(stdin, STDIN), STDIN), STDIN)];
  if (/^https?:\/\//i.test(source)) return [await fromUrl(source)];
  const isFolder = await stat(source).then(
    (it) => it.isDirectory(),
    () => false,
  );
  return isFolder ? fromFolder(source) : [await fromFile(source)];
}
