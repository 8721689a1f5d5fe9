// Fetches the histograms of a running proxy from its admin port.
import { get } from 'node:http';
import { HISTOGRAM } from '../metrics/layout.js';
import { difference, emptyHistogram, type NamedRecording, type Recording } from './recording.js';
import { unitNamed } from './units.js';
import { WIRE_FORMAT } from './wire.js';

/** Why there is no usable answer. The message says what to do. */
export class AdminError extends Error {}

const TIMEOUT_MS = 20_000;
const MAX_BYTES = 256 * 1024 * 1024;

export interface AdminAddress {
  readonly host: string;
  readonly port: number;
}

const shown = ({ host, port }: AdminAddress): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

function page(place: AdminAddress, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const asked = get({ ...place, path, agent: false, headers: { Accept: 'application/json' } }, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MAX_BYTES) asked.destroy(new Error('its answer is too long'));
        else chunks.push(chunk);
      });
      response.once('error', reject);
      response.once('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
      );
    });
    // Not a socket timeout: a server that sends one byte a minute would never run into it.
    const late = setTimeout(() => asked.destroy(new Error(`no answer in ${TIMEOUT_MS / 1000} s`)), TIMEOUT_MS);
    asked.once('close', () => clearTimeout(late));
    asked.once('error', reject);
  });
}

function adminProblem(place: AdminAddress, error: NodeJS.ErrnoException): AdminError {
  const code = error.code ?? '';
  if (code === 'ECONNREFUSED')
    return new AdminError(
      `nothing listens at ${shown(place)}; is the proxy running, and is this its admin.listen? --from names another`,
    );
  if (code.startsWith('HPE_'))
    return new AdminError(
      `${shown(place)} does not speak HTTP, so it is not a proxy's admin port; name another with --from`,
    );
  return new AdminError(`cannot ask ${shown(place)}: ${error.message || code}`);
}

/** All histograms as of now, with totals since the proxy's start. Rejects with an AdminError. */
export async function askAdmin(place: AdminAddress): Promise<Recording> {
  const { status, body } = await page(place, '/histograms?format=full').catch((error: unknown) => {
    throw adminProblem(place, error as NodeJS.ErrnoException);
  });
  const said = body.trim().split('\n')[0].slice(0, 120);
  if (status === 400 && said.includes('"full"'))
    throw new AdminError(`the proxy at ${shown(place)} is of a version that does not give out histograms in full`);
  if (status !== 200)
    throw new AdminError(
      `${shown(place)} answers ${status}${said === '' ? '' : ` (${said})`}: is it the admin port of a proxy? --from names another`,
    );
  try {
    return recordingOf(JSON.parse(body));
  } catch {
    throw new AdminError(
      `what ${shown(place)} answers is not a list of histograms (${said}): is it the admin port of a proxy? --from names another`,
    );
  }
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function numberOf(value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw new TypeError('no number');
  return value;
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('no text');
  return value;
}

/** Throws a TypeError for anything else. */
function recordingOf(value: unknown): Recording {
  if (!isObject(value) || value.format !== WIRE_FORMAT || value.version !== 1 || !Array.isArray(value.histograms))
    throw new TypeError('no histograms');
  const digits = value.significantDigits === undefined ? HISTOGRAM.digits : numberOf(value.significantDigits);
  return {
    startMs: numberOf(value.startMs),
    endMs: numberOf(value.endMs),
    histograms: value.histograms.map((one: unknown) => recordedOf(one, digits)),
  };
}

function recordedOf(value: unknown, digits: number): NamedRecording {
  if (!isObject(value) || !isObject(value.labels) || !Array.isArray(value.buckets)) throw new TypeError('no histogram');
  const histogram = emptyHistogram(digits);
  for (let at = 0; at + 1 < value.buckets.length; at += 2)
    histogram.recordValueWithCount(numberOf(value.buckets[at]), numberOf(value.buckets[at + 1]));
  const labels = Object.fromEntries(Object.entries(value.labels).map(([name, text]) => [name, textOf(text)]));
  return {
    id: textOf(value.id),
    kind: textOf(value.kind),
    name: textOf(value.name),
    labels,
    unit: unitNamed(textOf(value.unit)),
    histogram,
    sum: numberOf(value.sum),
  };
}

/** The difference to `before`. If any count of a histogram is smaller, its proxy has restarted, and the whole histogram counts. */
export function since(before: Recording, after: Recording): Recording {
  const earlier = new Map(before.histograms.map((recorded) => [recorded.id, recorded] as const));
  const histograms = after.histograms.map((now): NamedRecording => {
    const then = earlier.get(now.id);
    const histogram = then === undefined ? null : difference(now.histogram, then.histogram);
    return then === undefined || histogram === null ? now : { ...now, histogram, sum: Math.max(0, now.sum - then.sum) };
  });
  return { startMs: before.endMs, endMs: after.endMs, histograms };
}
