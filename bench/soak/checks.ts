// What must hold when a soak has ended and everything is quiet again.
import { median } from '../../src/harness/statistics.js';
import type { Children } from './children.js';
import { type Series, sum } from './exposition.js';
import type { ByteCount, RequestCount } from './workload.js';

export interface Check {
  readonly what: string;
  /** null: not judged; `detail` says why. */
  readonly passed: boolean | null;
  readonly detail: string;
}

export interface Observed {
  readonly series: readonly Series[];
  readonly clean: ByteCount;
  readonly requestCount: RequestCount;
  /** Whether all that was counted so is known: what a process counted that ended of itself is not. */
  readonly cleanKnown: boolean;
  readonly requestCountKnown: boolean;
  readonly children: Children;
  readonly workers: number;
  /** Resident size over the run, bytes, at even distances. */
  readonly resident: readonly number[];
  readonly minutes: number;
  readonly descriptorsBefore: number;
  readonly descriptorsAfter: number;
}

/** Node opens a few on demand (a timer, an admin connection that is just closing). */
const DESCRIPTOR_SLACK = 8;
/** A heap breathes; a leak of one buffer per aborted connection would pass this within a minute. */
const MEMORY_SHARE = 0.1;
const MEMORY_BYTES = 16 * 1024 * 1024;
/** Before this, compilers and pools still grow. */
const MEMORY_MINUTES = 3;
/** Of the time, at most. */
const MISSING_SHARE = 0.1;

const MIB = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function equal(what: string, values: Readonly<Record<string, number>>, known = true): Check {
  const list = Object.values(values);
  const detail = Object.entries(values)
    .map(([name, value]) => `${name} ${Number.isNaN(value) ? 'missing' : value}`)
    .join(', ');
  if (!known)
    return { what, passed: null, detail: `${detail}; a process of the harness has died, and its count with it` };
  return { what, passed: list.every((value) => value === list[0]), detail };
}

function opened(series: readonly Series[], peer: 'src' | 'dst'): Check {
  const total = sum(series, 'tcp_open_total', { peer });
  const closed = sum(series, 'tcp_close_total', { peer });
  const open = sum(series, 'tcp_open_connections', { peer });
  const detail = `opened ${total}, closed ${closed}, open ${open}`;
  return { what: `connections add up (${peer})`, passed: total - (closed || 0) === open, detail };
}

function memoryFlat({ resident, minutes }: Observed): Check {
  const at = (from: number, to: number) =>
    median(resident.slice(Math.floor(resident.length * from), Math.ceil(resident.length * to)));
  const early = at(1 / 3, 1 / 2);
  const late = at(5 / 6, 1);
  const detail = `${MIB(early)} after warming up, ${MIB(late)} at the end`;
  if (minutes < MEMORY_MINUTES)
    return { what: 'memory is flat', passed: null, detail: `${detail}; too short a run to judge` };
  return { what: 'memory is flat', passed: late - early <= Math.max(MEMORY_BYTES, early * MEMORY_SHARE), detail };
}

/** Every request of a service was answered by an endpoint or by the proxy, or is known to have had no answer. */
function answered(series: readonly Series[], service: string): Check {
  const of = (name: string) => sum(series, name, { service }) || 0;
  const requests = of('sluice_service_requests_total');
  const responses = of('response_total');
  // These are answers to requests as well as to heads that broke off and never became one.
  const bad = sum(series, 'sluice_service_proxy_response_total', { service, reason: 'bad-request' }) || 0;
  const own = of('sluice_service_proxy_response_total');
  const unanswered = of('sluice_service_unanswered_total');
  const detail = `${requests} requests, ${responses} responses, ${own} of the proxy, ${unanswered} unanswered`;
  const over = responses + own + unanswered - requests;
  return { what: `requests add up (${service})`, passed: over >= 0 && over <= bad, detail: `${detail}, ${bad} bad` };
}

/** The same for what was sent to its endpoints, each attempt by itself. */
function attempted(series: readonly Series[], service: string): Check {
  const of = (name: string) => sum(series, name, { service }) || 0;
  const attempts = of('request_total');
  const responses = of('response_total');
  const failures = of('sluice_endpoint_failures_total');
  const abandoned = of('sluice_endpoint_abandoned_total');
  const detail = `${attempts} sent, ${responses} answered, ${failures} lost, ${abandoned} taken back`;
  return { what: `attempts add up (${service})`, passed: attempts === responses + failures + abandoned, detail };
}

function callsEnded(series: readonly Series[], service: string): Check {
  const of = (name: string) => sum(series, name, { service }) || 0;
  const calls = of('sluice_grpc_requests_total');
  const statuses = of('sluice_grpc_responses_total');
  const unanswered = of('sluice_service_unanswered_total');
  const detail = `${calls} calls, ${statuses} statuses, ${unanswered} unanswered`;
  return { what: `gRPC statuses add up (${service})`, passed: calls === statuses + unanswered, detail };
}

/** What the floods are ended for. */
const FLOODS: ReadonlySet<string> = new Set(['h2-resets', 'h2-control-frames']);

/**
 * No verdicts on a peer: what can't be kept for sending again, the rest of an upload that was answered before its end, and a connection of
 * an endpoint that had no time for it, which others take the place of.
 */
const HARMLESS: ReadonlySet<string> = new Set(['h2-replay', 'h2-discard', 'h2-window']);

/** No other peer in the soak is hostile. */
function noFalsePositives(series: readonly Series[]): Check {
  const fired = series.filter(
    ({ name, labels, value }) =>
      name === 'sluice_limit_total' && labels.limit.startsWith('h2-') && value > 0 && !HARMLESS.has(labels.limit),
  );
  const unexpected = fired.filter(({ labels }) => !FLOODS.has(labels.limit));
  const detail = fired.map(({ labels, value }) => `${labels.limit} ${value}`).join(', ') || 'none';
  return { what: 'no HTTP/2 limit fired but for floods', passed: unexpected.length === 0, detail };
}

/** At any time at least one endpoint of each service accepts, unless a process of the harness dies that has all of them. */
function alwaysAnEndpoint({ series, children }: Observed): Check {
  const refused = series.filter(
    ({ name, labels, value }) =>
      name === 'sluice_service_proxy_response_total' && labels.reason === 'no-endpoint' && value > 0,
  );
  const detail = refused.map(({ labels, value }) => `${labels.service} ${value}`).join(', ') || 'none';
  const unexplained = refused.filter(({ labels }) => !children.lost(`endpoints ${labels.service}`));
  return { what: 'no request was answered no-endpoint', passed: unexplained.length === 0, detail };
}

/** Bytes that are not those that were sent, or an incomplete answer passed off as a complete one: nothing excuses them. */
function noCorruption({ children }: Observed): Check {
  const corrupt = children.failures.filter((failure) => failure.corrupt).length;
  return { what: 'no wrong byte', passed: corrupt === 0, detail: `${corrupt} failures` };
}

/** All processes of the harness run most of the time, or nothing was measured. */
function harnessAlive({ children, minutes }: Observed): Check {
  let ms = 0;
  for (const { at, back } of children.deaths) ms += Math.min(back, at + 60_000) - at;
  const detail = `${children.deaths.length} processes died, and were down for ${(ms / 1000).toFixed(1)} s`;
  return {
    what: 'all processes of the harness ran most of the time',
    passed: ms < minutes * 60_000 * MISSING_SHARE,
    detail,
  };
}

function work({ series, resident }: Observed): Check {
  const requests = sum(series, 'sluice_listener_requests_total') || 0;
  const read = sum(series, 'tcp_read_bytes_total') || 0;
  const detail = `${requests} requests, ${(read / 2 ** 30).toFixed(1)} GiB read; memory ${MIB(resident[0])} at the start, ${MIB(resident.at(-1) ?? 0)} at the end`;
  return { what: 'what was done', passed: null, detail };
}

/** Each worker keeps one buffer at hand for small pieces once it has needed one. */
function slabComplete({ series, workers }: Observed): Check {
  const buffers = sum(series, 'sluice_slab_buffers');
  const free = sum(series, 'sluice_slab_free_buffers');
  return {
    what: 'no buffer of the slab is missing',
    passed: buffers - free <= workers,
    detail: `buffers ${buffers}, free ${free}`,
  };
}

export function check(observed: Observed): Check[] {
  const { series, clean, requestCount, cleanKnown, requestCountKnown, descriptorsBefore, descriptorsAfter } = observed;
  const pipes = sum(series, 'sluice_pipes_open') || 0;
  const pooled = sum(series, 'tcp_open_connections', { peer: 'dst' }) || 0;
  const allowed = descriptorsBefore + 2 * pipes + pooled + DESCRIPTOR_SLACK;
  return [
    work(observed),
    harnessAlive(observed),
    noCorruption(observed),
    memoryFlat(observed),
    {
      what: 'no descriptor leaked',
      passed: descriptorsAfter <= allowed,
      detail: `${descriptorsBefore} before, ${descriptorsAfter} after; pipes kept ${pipes}, pooled connections ${pooled}`,
    },
    slabComplete(observed),
    equal('no worker crashed', {
      crashed: sum(series, 'tcp_close_total', { errno: 'worker_crash' }) || 0,
      expected: 0,
    }),
    equal('no client connection is left', { open: sum(series, 'tcp_open_connections', { peer: 'src' }), expected: 0 }),
    opened(series, 'src'),
    opened(series, 'dst'),
    equal(
      'opaque bytes in are bytes out (to the endpoint)',
      {
        'clients sent': clean.sent,
        'read from clients': sum(series, 'tcp_read_bytes_total', { peer: 'src', listener: 'clean' }),
        'written to endpoints': sum(series, 'tcp_write_bytes_total', { peer: 'dst', service: 'clean' }),
      },
      cleanKnown,
    ),
    equal(
      'opaque bytes in are bytes out (to the client)',
      {
        'clients received': clean.received,
        'written to clients': sum(series, 'tcp_write_bytes_total', { peer: 'src', listener: 'clean' }),
        'read from endpoints': sum(series, 'tcp_read_bytes_total', { peer: 'dst', service: 'clean' }),
      },
      cleanKnown,
    ),
    equal('no request or connection is in flight', {
      'of endpoints': sum(series, 'sluice_endpoint_in_flight'),
      'of services': sum(series, 'sluice_service_in_flight'),
      expected: 0,
    }),
    equal('no stream is open', {
      'of clients': sum(series, 'sluice_http2_open_streams', { role: 'server' }),
      'to endpoints': sum(series, 'sluice_http2_open_streams', { role: 'client' }),
      'of endpoints': sum(series, 'sluice_endpoint_http2_streams'),
      expected: 0,
    }),
    ...['web', 'h2', 'h2-rough', 'grpc', 'grpc-rough', 'rolling', 'rolling-h2'].flatMap((service) => [
      answered(series, service),
      attempted(series, service),
    ]),
    callsEnded(series, 'grpc'),
    callsEnded(series, 'grpc-rough'),
    equal(
      'requests that clients of h2 and grpc have counted',
      {
        clients: requestCount.requests,
        listeners: ['h2', 'grpc'].reduce(
          (total, listener) => total + (sum(series, 'sluice_listener_requests_total', { listener }) || 0),
          0,
        ),
      },
      requestCountKnown,
    ),
    noFalsePositives(series),
    alwaysAnEndpoint(observed),
  ];
}
