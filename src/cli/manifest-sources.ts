// Reads manifests from files, folders, URLs and standard input.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { MAX_BYTES, type Manifest, ManifestProblem, readManifest } from '../inject/manifests.js';
import { messageOf } from './usage.js';

const EXTENSIONS = /\.(ya?ml|json)$/i;
/** Maximum number of files in a folder. */
const MAX_FILES = 10_000;
const URL_TIMEOUT_MS = 30_000;
const STDIN = 'standard input';

const problem = (file: string, what: string): ManifestProblem => new ManifestProblem(file, 0, 0, what);

/** Reads at most the allowed size: an endless answer is cut off. */
async function collected(stream: AsyncIterable<Uint8Array>, file: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > MAX_BYTES) throw problem(file, `is larger than ${MAX_BYTES >> 20} MiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function decoded(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw problem(file, 'is not UTF-8');
  }
}

/** The URL for messages: without its password. */
function publicUrl(url: URL): string {
  const shown = new URL(url);
  shown.username = '';
  shown.password = '';
  return shown.href;
}

/** The request for a URL. A password in it means Basic authentication (RFC 7617). */
function requestOf(url: URL): { target: string; headers: Record<string, string> } {
  const target = publicUrl(url);
  if (url.username === '' && url.password === '') return { target, headers: {} };
  const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return { target, headers: { authorization: `Basic ${Buffer.from(user).toString('base64')}` } };
}

async function fetched(url: URL, name: string): Promise<Buffer> {
  try {
    const { target, headers } = requestOf(url);
    const response = await fetch(target, { headers, signal: AbortSignal.timeout(URL_TIMEOUT_MS) });
    if (!response.ok) {
      await response.body?.cancel();
      throw problem(name, `is answered with ${response.status} ${response.statusText}`.trimEnd());
    }
    if (/^text\/html\b/i.test(response.headers.get('content-type') ?? '')) {
      await response.body?.cancel();
      throw problem(name, 'is a page for people (text/html); name the address of the file itself');
    }
    return response.body === null ? Buffer.alloc(0) : await collected(response.body, name);
  } catch (error) {
    if (error instanceof ManifestProblem) throw error;
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw problem(name, `cannot be fetched: ${messageOf(cause)}`);
  }
}

async function fromUrl(text: string): Promise<Manifest> {
  if (!URL.canParse(text)) throw problem(text, 'is not an address');
  const url = new URL(text);
  const name = publicUrl(url);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw problem(name, 'cannot be fetched: write http:// or https://, or the name of a file');
  return readManifest(decoded(await fetched(url, name), name), name);
}

const reasonOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? messageOf(error);

async function fromFile(file: string): Promise<Manifest> {
  let size: number;
  let bytes: Buffer;
  try {
    ({ size } = await stat(file));
    if (size > MAX_BYTES) throw problem(file, `is larger than ${MAX_BYTES >> 20} MiB`);
    bytes = await readFile(file);
  } catch (error) {
    if (error instanceof ManifestProblem) throw error;
    throw problem(file, `cannot be read: ${reasonOf(error)}`);
  }
  return readManifest(decoded(bytes, file), file);
}

/** A path that cannot be examined counts as a file; reading it reports the error. */
const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (it) => it.isDirectory(),
    () => false,
  );

/** Manifests in a folder and its subfolders, sorted by name. */
async function fromFolder(folder: string): Promise<Manifest[]> {
  const all = await readdir(folder, { recursive: true }).catch((error: unknown) => {
    throw problem(folder, `cannot be read: ${reasonOf(error)}`);
  });
  const names = all.filter((name) => EXTENSIONS.test(name)).sort();
  if (names.length === 0) throw problem(folder, 'has no files that end in .yaml, .yml or .json');
  if (names.length > MAX_FILES) throw problem(folder, `has more than ${MAX_FILES} manifests`);
  const manifests: Manifest[] = [];
  for (const name of names) {
    const file = join(folder, name);
    // A folder may have such a name too.
    if (!(await isFolder(file))) manifests.push(await fromFile(file));
  }
  return manifests;
}

/** All manifests that one argument names. Throws a ManifestProblem. */
export async function manifestsFrom(source: string, stdin: Readable): Promise<Manifest[]> {
  if (source === '-') return [readManifest(decoded(await collected(stdin, STDIN), STDIN), STDIN)];
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(source)) return [await fromUrl(source)];
  return (await isFolder(source)) ? fromFolder(source) : [await fromFile(source)];
}
