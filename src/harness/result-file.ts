// Reads the raw JSON of a run. It may come from another machine, another version or a full disk: nothing in it is trusted.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { type HarnessResult, RESULT_FILE } from './results.js';

/** An invalid or unreadable result file; the message names the file, the place and what to do. */
export class ResultFileError extends Error {
  override readonly name = 'ResultFileError';
}

const number = v.pipe(v.number(), v.finite());
/** JSON has no NaN: a value that could not be measured is null. */
const figure = v.pipe(
  v.nullable(v.number()),
  v.transform((value) => value ?? Number.NaN),
);
const text = v.string();
const histogram = v.object({ unit: v.literal('us'), v2: text, count: number, sum: number });
const counts = v.record(text, number);

const load = v.object({
  startedAt: number,
  seconds: v.pipe(number, v.gtValue(0)),
  done: number,
  bytesRead: number,
  bytesWritten: number,
  wantedRate: v.nullable(number),
  unsent: number,
  errors: counts,
  statuses: counts,
  connectionsOpened: number,
  latency: histogram,
  service: histogram,
  connect: histogram,
  messages: v.exactOptional(v.object({ sent: number, received: number, latency: histogram })),
  intervals: v.array(v.object({ startMs: number, endMs: number, done: number, errors: number, latency: histogram })),
  cpu: v.object({ userUs: number, systemUs: number }),
  interrupted: v.boolean(),
});

const sample = v.object({
  round: number,
  cpuUs: figure,
  userShare: figure,
  memoryBytes: figure,
  contextSwitches: v.object({ voluntary: number, involuntary: number }),
  foreign: figure,
  loadForeign: v.exactOptional(number),
  load,
});

const ratio = v.object({
  to: text,
  value: figure,
  low: figure,
  high: figure,
  verdict: v.picklist(['less', 'more', 'unclear']),
});

const point = v.object({
  wantedRate: number,
  rate: number,
  cpuUs: figure,
  p50: number,
  p99: number,
  p999: number,
  errors: number,
  held: v.boolean(),
});

const subject = v.object({
  name: text,
  version: text,
  skipped: v.nullable(text),
  failed: v.nullable(text),
  samples: v.array(sample),
  ratios: v.array(ratio),
  coldP99: v.array(figure),
  curve: v.array(point),
  saturation: v.nullable(number),
});

const pace = v.variant('kind', [
  v.object({ kind: v.literal('closed'), thinkMs: number }),
  v.object({ kind: v.literal('constant'), rate: number }),
  v.object({ kind: v.literal('poisson'), rate: number, seed: number }),
  v.object({ kind: v.literal('steps'), steps: v.array(v.object({ rate: number, seconds: number })) }),
]);

const plan = v.object({
  protocol: v.picklist([
    'http1',
    'http2',
    'grpc',
    'grpc-stream',
    'grpc-server',
    'grpc-client',
    'grpc-bidi',
    'tcp',
    'tcp-bulk',
    'connect',
    'websocket',
  ]),
  targets: v.array(v.object({ address: text, port: number, authority: text, path: text, weight: number })),
  method: text,
  headers: v.array(v.tuple([text, text])),
  bodyBytes: number,
  messages: v.exactOptional(number),
  pace,
  connections: number,
  streams: number,
  keepAlive: v.boolean(),
  threads: number,
  warmupSeconds: number,
  seconds: number,
  timeoutMs: number,
  io: v.picklist(['auto', 'uring', 'epoll']),
  tls: v.nullable(
    v.object({
      alpn: v.array(text),
      serverName: text,
      authorities: v.nullable(text),
      insecure: v.exactOptional(v.boolean()),
      certificate: v.nullable(text),
      key: v.nullable(text),
    }),
  ),
});

const result = v.object({
  format: v.literal('sluice-bench'),
  version: v.literal(1),
  startedAt: v.pipe(
    text,
    v.check((value) => Number.isFinite(Date.parse(value)), 'is not a date'),
  ),
  environment: v.object({
    sluice: text,
    node: text,
    kernel: text,
    cpu: text,
    cores: number,
    memoryBytes: number,
    architecture: text,
  }),
  rounds: number,
  interrupted: v.boolean(),
  notes: v.exactOptional(v.array(text)),
  scenarios: v.array(v.object({ name: text, title: text, unit: text, plan, subjects: v.array(subject) })),
});

/** Parses a result; `name` is for messages. */
export function parseResult(json: string, name: string): HarnessResult {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const cut = json.trim() === '' ? 'the file is empty' : `it is not valid JSON, or was cut off: ${why}`;
    throw new ResultFileError(`${name}: ${cut}`);
  }
  const { format, version } = (typeof parsed === 'object' && parsed !== null ? parsed : {}) as Record<string, unknown>;
  if (format !== 'sluice-bench')
    throw new ResultFileError(
      `${name}: this is not a result of \`sluice bench matrix\` (its \`format\` is not "sluice-bench")`,
    );
  if (version !== 1)
    throw new ResultFileError(
      `${name}: results of version ${JSON.stringify(version)} are not known here, only those of version 1; use the Sluice that wrote it`,
    );
  const checked = v.safeParse(result, parsed);
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  const path = issue.path?.map(({ key }) => String(key)).join('.') ?? '';
  throw new ResultFileError(`${name}: ${path}: ${issue.message}`);
}

/** Reads a result from a file. */
/** Of a directory, the result that `matrix` and `saturate` have written there. */
export function resultPath(named: string): string {
  const isDirectory = statSync(named, { throwIfNoEntry: false })?.isDirectory() === true;
  return isDirectory ? join(named, RESULT_FILE) : named;
}

/** `named`: the file, or its directory. */
export function readResult(named: string): HarnessResult {
  const path = resultPath(named);
  let json: string;
  try {
    json = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ResultFileError(`${path}: cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  return parseResult(json, path);
}
