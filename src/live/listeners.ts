// The state of listeners, clients (by identity) and workers, from the difference of two samples.
import {
  C,
  CLOSE_REASONS,
  L,
  LISTENER_TLS,
  REASONS,
  TLS_GROUPS,
  TLS_ROLES,
  TLS_VERSIONS,
  VERDICTS,
  verdictField,
  W,
  WORKER_HISTOGRAMS,
} from '../metrics/layout.js';
import { TLS_FAILURES } from '../tls/failures.js';
import { keyOf, type SampleDelta } from './metrics-sample.js';
import type { LiveClient, LiveListener, LiveVerdict, LiveWorker } from './state.js';

const LOOP_TURN = WORKER_HISTOGRAMS.indexOf('loop_turn_us');
/** First field and number of fields: completed and failed handshakes, in both roles. */
const DONE = [W.TLS_DONE, TLS_ROLES.length * TLS_VERSIONS.length * TLS_GROUPS.length] as const;
const FAILED = [W.TLS_FAILED, TLS_ROLES.length * TLS_FAILURES.length] as const;

export function listenersOf(between: SampleDelta): LiveListener[] {
  return between.now.snapshot.listeners
    .filter(({ held, touched }) => held || touched)
    .map((series) => {
      const { info, values } = series;
      const before = between.before?.listeners.get(keyOf.service(series));
      const rate = (field: number): number => between.rate(before, values, field);
      const verdicts: LiveVerdict[] = [];
      VERDICTS.forEach((verdict, row) => {
        REASONS.forEach((reason, column) => {
          const field = verdictField(row, column);
          if (values[field] > 0) verdicts.push({ verdict, reason, rate: rate(field), total: values[field] });
        });
      });
      const closed = CLOSE_REASONS.map((reason, index) => [reason, rate(L.CLOSE + index)] as const);
      return {
        name: info.name,
        direction: info.direction,
        tls: info.tls?.tls ?? '',
        noTlsReason: info.tls?.no_tls_reason ?? '',
        open: values[L.OPEN],
        opened: rate(L.OPEN_TOTAL),
        requests: rate(L.REQUESTS),
        read: rate(L.READ_BYTES),
        written: rate(L.WRITE_BYTES),
        verdicts,
        closed: Object.fromEntries(closed.filter(([, count]) => count > 0)),
      };
    });
}

export function clientsOf(between: SampleDelta): LiveClient[] {
  return between.now.snapshot.clients.map((totals) => {
    const { info, values } = totals;
    const before = between.before?.clients.get(keyOf.client(totals));
    const rate = (field: number): number => between.rate(before, values, field);
    const labels: { readonly tls: string; readonly no_tls_reason?: string } = LISTENER_TLS[info.seen];
    return {
      listener: info.name,
      direction: info.direction,
      tls: labels.tls,
      noTlsReason: labels.no_tls_reason ?? '',
      identity: info.identity,
      open: values[C.OPEN],
      opened: rate(C.OPEN_TOTAL),
      requests: rate(C.REQUESTS),
      read: rate(C.READ_BYTES),
      written: rate(C.WRITE_BYTES),
    };
  });
}

export function workersOf(between: SampleDelta): LiveWorker[] {
  return between.now.snapshot.workers.map((series) => {
    const { id, values, histograms } = series;
    const before = between.before?.workers.get(keyOf.worker(series));
    const rate = (field: number): number => between.rate(before, values, field);
    const block = ([at, length]: readonly [number, number]): number => {
      let all = 0;
      for (let field = at; field < at + length; field++) all += rate(field);
      return all;
    };
    const turns = between.latency(histograms[LOOP_TURN], false);
    return {
      id,
      ready: values[W.READY] === 1,
      connections: values[W.CONNECTIONS_OPEN],
      sockets: values[W.SOCKETS_OPEN],
      cpu: rate(W.CPU_US) / 1e6,
      turnMax: turns?.max ?? null,
      turnP99: turns?.p99 ?? null,
      turns: rate(W.LOOP_TURNS),
      buffers: values[W.SLAB_BUFFERS],
      freeBuffers: values[W.SLAB_FREE],
      spliced: rate(W.SPLICED_BYTES),
      copied: rate(W.COPIED_BYTES),
      handshakes: block(DONE),
      handshakeFailures: block(FAILED),
    };
  });
}
