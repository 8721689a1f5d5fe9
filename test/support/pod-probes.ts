// Probes and hooks of containers, from the node's address.
import { get } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { get as getTls } from 'node:https';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Container } from './pod-container.js';
import { type ContainerSpec, type Handler, type Probe, portOf } from './pod-objects.js';

/** Tests have no time for ten seconds before the first probe and from one to the next; how long it may fail in all is as it is written. */
const MAX_INTERVAL_MS = 200;

export interface Probed {
  readonly spec: ContainerSpec;
  readonly container: Container;
  readonly ip: string;
}

function asksHttp(host: string, port: number, path: string, scheme: string, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const options = { host, port, path, agent: false, timeout: timeoutMs, rejectUnauthorized: false };
    const sent = (scheme === 'HTTPS' ? getTls : get)(options, (response) => {
      const { statusCode = 0 } = response;
      response.resume().on('error', () => undefined);
      resolve(statusCode >= 200 && statusCode < 400);
    });
    sent.on('timeout', () => sent.destroy(new Error('late'))).on('error', () => resolve(false));
  });
}

function connects(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('timeout', () => socket.destroy(new Error('late'))).on('error', () => resolve(false));
  });
}

/** A check of grpc.health.v1, of the server as a whole; it says SERVING. */
function asksGrpc(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const session = connectHttp2(`http://${host}:${port}`);
    const done = (well: boolean): void => {
      clearTimeout(late);
      session.destroy();
      resolve(well);
    };
    const late = setTimeout(() => done(false), timeoutMs);
    session.on('error', () => done(false));
    const path = '/grpc.health.v1.Health/Check';
    const call = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const chunks: Buffer[] = [];
    call.on('error', () => done(false)).on('data', (chunk: Buffer) => chunks.push(chunk));
    call.on('end', () => done(Buffer.concat(chunks).equals(Buffer.from([0, 0, 0, 0, 2, 8, 1]))));
    call.end(Buffer.alloc(5));
  });
}

/** Carries out what a handler says; whether it went well. */
export async function handle({ spec, container, ip }: Probed, handler: Handler, timeoutMs: number): Promise<boolean> {
  const { exec, httpGet, tcpSocket, grpc, sleep: pause } = handler;
  if (exec !== undefined) {
    const { code, stdout, stderr } = await container.exec(exec.command, timeoutMs);
    if (code !== 0) container.lines.push(`${exec.command.join(' ')}: ${code} ${stdout} ${stderr}`);
    return code === 0;
  }
  if (httpGet !== undefined) {
    const { path = '/', port, scheme = 'HTTP' } = httpGet;
    return asksHttp(ip, portOf(spec, port), path, scheme, timeoutMs);
  }
  if (grpc !== undefined) return asksGrpc(ip, grpc.port, timeoutMs);
  if (tcpSocket !== undefined) return connects(ip, portOf(spec, tcpSocket.port), timeoutMs);
  if (pause !== undefined) await sleep(pause.seconds * 1000, undefined, { ref: false });
  return true;
}

/**
 * Probes as long as the container runs. `report` hears each change, and at first that it does not answer; after as many failures in a row
 * as are allowed `failed` is called. With `once` it ends with the first success.
 */
export async function probe(
  probed: Probed,
  { periodSeconds = 10, failureThreshold = 3, timeoutSeconds = 1, initialDelaySeconds = 0, ...handler }: Probe,
  { once, report, failed }: { once: boolean; report(answers: boolean): void; failed(): void },
): Promise<void> {
  const { container } = probed;
  // A busy machine makes a probe late: what is about to fail for good gets as long as it is written, and some more.
  const patienceMs = Math.max(periodSeconds * failureThreshold, 10) * 1000;
  const betweenMs = Math.min(periodSeconds * 1000, MAX_INTERVAL_MS);
  let last = false;
  let good = performance.now();
  await sleep(Math.min(initialDelaySeconds * 1000, MAX_INTERVAL_MS), undefined, { ref: false });
  while (container.code === null) {
    const answers = await handle(probed, handler, Math.max(timeoutSeconds, 5) * 1000);
    if (container.code !== null) return;
    if (answers) good = performance.now();
    if (answers !== last && (answers || performance.now() - good > 0)) {
      last = answers;
      report(answers);
    }
    if (answers && once) return;
    if (!answers && performance.now() - good > patienceMs) {
      good = performance.now();
      failed();
    }
    await sleep(betweenMs, undefined, { ref: false });
  }
}
