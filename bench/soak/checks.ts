// What must hold when a soak has ended and everything is quiet again.
import { median } from '../statistics.js';
import type { CleanCount } from './actors.js';
import { type Series, sum } from './exposition.js';

export interface Check {
  readonly what: string;
  /** null: could not or need not be judged; `detail` says why. */
  readonly passed: boolean | null;
  readonly detail: string;
}

export interface Observed {
  readonly series: readonly Series[];
  readonly clean: CleanCount;
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

const MIB = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function equal(what: string, values: Readonly<Record<string, number>>): Check {
  const list = Object.values(values);
  const detail = Object.entries(values)
    .map(([name, value]) => `${name} ${Number.isNaN(value) ? 'missing' : value}`)
    .join(', ');
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

export function check(observed: Observed): Check[] {
  const { series, clean, descriptorsBefore, descriptorsAfter } = observed;
  const pipes = sum(series, 'sluice_pipes_open') || 0;
  const pooled = sum(series, 'tcp_open_connections', { peer: 'dst' }) || 0;
  const allowed = descriptorsBefore + 2 * pipes + pooled + DESCRIPTOR_SLACK;
  return [
    memoryFlat(observed),
    {
      what: 'no descriptor leaked',
      passed: descriptorsAfter <= allowed,
      detail: `${descriptorsBefore} before, ${descriptorsAfter} after; pipes kept ${pipes}, pooled connections ${pooled}`,
    },
    equal('the slab is whole', {
      buffers: sum(series, 'sluice_slab_buffers'),
      free: sum(series, 'sluice_slab_free_buffers'),
    }),
    equal('no client connection is left', { open: sum(series, 'tcp_open_connections', { peer: 'src' }), expected: 0 }),
    opened(series, 'src'),
    opened(series, 'dst'),
    equal('opaque bytes in are bytes out (to the endpoint)', {
      'clients sent': clean.sent,
      'read from clients': sum(series, 'tcp_read_bytes_total', { peer: 'src', listener: 'clean' }),
      'written to endpoints': sum(series, 'tcp_write_bytes_total', { peer: 'dst', service: 'clean' }),
    }),
    equal('opaque bytes in are bytes out (to the client)', {
      'clients received': clean.received,
      'written to clients': sum(series, 'tcp_write_bytes_total', { peer: 'src', listener: 'clean' }),
      'read from endpoints': sum(series, 'tcp_read_bytes_total', { peer: 'dst', service: 'clean' }),
    }),
    equal('no request or connection is in flight', {
      'in flight': sum(series, 'sluice_endpoint_in_flight'),
      expected: 0,
    }),
  ];
}
