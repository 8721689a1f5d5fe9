// Subjects that are a few lines of Node, and a load of a few requests.
import { get } from 'node:http';
import type { Placement } from '../../src/harness/placement.js';
import type { LoadRunner } from '../../src/harness/scenario-run.js';
import type { Subject } from '../../src/harness/subjects/subject.js';
import { encoded, loadOf } from './figures.js';

export const ANYWHERE: Placement = { subject: '0', load: '0', upstream: '0', shared: null };

/** Passes requests on. What `more` is runs in each, before it does: `count` is how many there have been, `response` the answer. */
const program = (more: string): string => `
const http = require('node:http');
const [port, upstream] = process.argv.slice(1).map(Number);
let count = 0;
http.createServer((request, response) => {
  count++;
  ${more}
  request.pipe(http.request({ port: upstream, host: '127.0.0.1', path: request.url, method: request.method }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  }));
}).listen(port, '127.0.0.1');
`;

export function stub(name: string, { more = '', script = program(more) } = {}): Subject {
  return {
    name,
    missing: () => null,
    version: () => '1.0',
    async start(session, work) {
      const port = await session.port();
      const command = [process.execPath, '-e', script, '--', String(port), String(work.upstream)];
      const started = session.start(name, work.cores, command);
      await session.listening(started, port);
      return { name, port, started };
    },
  };
}

const ask = (port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', agent: false }, (answer) => {
      answer.resume().once('end', () => resolve(answer.statusCode ?? 0));
    }).once('error', reject);
  });

/** So many requests, one after the other, however long it takes. */
export const requests =
  (count: number, watch: (port: number) => void = () => undefined): LoadRunner =>
  async (plan, _report, signal) => {
    const [{ port }] = plan.targets;
    const errors: Record<string, number> = {};
    const statuses: Record<string, number> = {};
    let done = 0;
    watch(port);
    for (let at = 0; at < count && !signal.aborted; at++) {
      const status = await ask(port).catch((error: NodeJS.ErrnoException) => {
        errors[error.code ?? 'error'] = (errors[error.code ?? 'error'] ?? 0) + 1;
        return 0;
      });
      if (status !== 0) statuses[status] = (statuses[status] ?? 0) + 1;
      // As the load generator has it, an answer is done whatever it says.
      if (status !== 0) done++;
      if (status >= 400) errors.status = (errors.status ?? 0) + 1;
    }
    const latency = encoded([100, 200]);
    const wantedRate = plan.pace.kind === 'constant' ? plan.pace.rate : null;
    const intervals = [{ startMs: 0, endMs: 1000, done, errors: 0, latency }];
    const { seconds } = plan;
    return loadOf({ seconds, done, errors, statuses, wantedRate, intervals, interrupted: signal.aborted });
  };
