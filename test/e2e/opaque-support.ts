// A Sluice that relays opaque connections, and what must be left of them in the end: nothing.
import assert from 'node:assert/strict';
import { type Executor, eventually, type Sluice, startSluice } from '../support/sluice.js';

export interface Setup {
  /** Lines under `limits:`. */
  readonly limits?: string;
  /** Keys of the service beside its endpoints. */
  readonly service?: string;
}

export function start(io: Executor, ports: readonly number[], setup: Setup = {}): Promise<Sluice> {
  const endpoints = ports.map((port) => `"127.0.0.1:${port}"`).join(', ');
  return startSluice(
    `limits: { ${setup.limits ?? ''} }
listeners:
  - { name: in, listen: "127.0.0.1:0", service: out, protocol: opaque }
services:
  out: { endpoints: [${endpoints}], ${setup.service ?? ''} }
`,
    io,
  );
}

/** Every connection is accounted for and nothing is held for any. */
export async function clean(sluice: Sluice): Promise<void> {
  await eventually(async () => (await sluice.metric('tcp_open_connections')) === 0, 'every connection is closed');
  assert.equal(await sluice.metric('tcp_open_total'), await sluice.metric('tcp_close_total'));
  await eventually(async () => (await sluice.metric('sluice_worker_sockets')) === 0, 'every socket is released');
  await eventually(
    async () => (await sluice.metric('sluice_slab_free_buffers')) === (await sluice.metric('sluice_slab_buffers')),
    'the slab is whole',
  );
}
