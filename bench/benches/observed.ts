// What it costs to look on: an open tap, and spans of one request in a hundred, beside the same proxy without.
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { sluice } from '../../src/harness/subjects/sluice.js';
import type { Running } from '../../src/harness/subjects/subject.js';
import { type Bench, cpuSample } from '../bench.js';
import { h2load, wrk } from '../load.js';
import { startUpstream } from '../upstreams.js';
import { PROXY_CORE } from './http.js';

const CONNECTIONS = 64;
const OBSERVED = 'observed';

/** Takes spans, and lets them go. */
let collector = '';
function startCollector(): Promise<void> {
  if (collector !== '') return Promise.resolve();
  const server = createServer((request, response) => {
    request.resume().once('end', () => response.end());
  });
  server.unref();
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      collector = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      resolve();
    });
  });
}

/** Runs `load` while somebody taps; resolves once they listen. */
async function tapped<T>(running: Running, load: () => Promise<T>): Promise<T> {
  if (running.name !== OBSERVED) return load();
  const asked = get({ host: '127.0.0.1', port: running.admin, path: '/tap', agent: false });
  await new Promise<void>((resolve, reject) => {
    asked.once('error', reject);
    asked.once('response', (response) => {
      response.once('data', () => resolve()).on('error', () => undefined);
      response.resume();
    });
  });
  try {
    return await load();
  } finally {
    asked.off('error', () => undefined).on('error', () => undefined);
    asked.destroy();
  }
}

function observed(name: string, http2: boolean): Bench {
  const work = {
    kind: 'http',
    ...(http2 ? { http2: 'both' as const } : {}),
    workers: 1,
    cores: PROXY_CORE,
    connections: CONNECTIONS,
  } as const;
  return {
    name,
    title: `${http2 ? 'HTTP/2, 10 connections × 32 streams' : `HTTP/1.1 keep-alive, ${CONNECTIONS} connections`}, with a tap and spans of 1 %`,
    unit: 'µs CPU/request',
    measures: 'cpu',
    bar: { limit: 1.02, ambition: 1.01, rivals: ['sluice'] },
    contenders: [
      sluice(OBSERVED, 'uring', { more: () => `tracing: { endpoint: "${collector}", sampling: 0.01 }\n` }),
      sluice('sluice', 'uring'),
    ],
    work,
    async upstream(session) {
      await startCollector();
      return startUpstream(session, http2 ? 'answer-h2' : 'answer');
    },
    sample: (session, running, seconds) =>
      tapped(running, () =>
        cpuSample(running, PROXY_CORE, () =>
          http2 ? h2load(session, running.port, 10, 32, { seconds }) : wrk(session, running.port, CONNECTIONS, seconds),
        ),
      ),
  };
}

export const h1Observed = observed('h1-observed', false);
export const h2Observed = observed('h2-observed', true);
