// What tests of pods share: calls that applications make, and what their proxies say of it.
import { once } from 'node:events';
import { connect } from 'node:net';
import type { RunningPod } from '../support/kubelet.js';
import { type Call, PORT, type Said } from './pods-application.js';

/** Has the application of a pod make a call. */
export async function ask<T = Said>(pod: RunningPod, call: Call): Promise<T> {
  const response = await fetch(`http://${pod.ip}:${PORT.CONTROL}`, { method: 'POST', body: JSON.stringify(call) });
  return (await response.json()) as T;
}

export interface AccessLine {
  readonly message: string;
  readonly listener: string;
  readonly client: string;
  readonly endpoint?: string;
  readonly path?: string;
  readonly [field: string]: unknown;
}

const MARKER = '/marker-';
let markers = 0;

/** Every record of the access log of a pod's proxy. */
export const accessLines = (pod: RunningPod): AccessLine[] =>
  pod
    .container('sluice-proxy')
    .lines.filter((line) => /"message":"(request|connection)"/.test(line))
    .map((line) => JSON.parse(line) as AccessLine);

/** Requests for a path, or connections to a port that were no HTTP: on a slow machine there are others, such as dials that were in vain. */
export type Wanted = { readonly path: string } | { readonly port: number };

const isWanted = (line: AccessLine, wanted: Wanted): boolean =>
  'path' in wanted
    ? line.path === wanted.path
    : line.message === 'connection' && line.endpoint?.endsWith(`:${wanted.port}`) === true;

/** The records of what a pod's proxy sees of `work`, of which there are `count`. */
export async function passing(
  pod: RunningPod,
  wanted: Wanted,
  work: () => Promise<unknown>,
  count: number,
): Promise<AccessLine[]> {
  const proxy = pod.container('sluice-proxy');
  const before = accessLines(pod).length;
  await work();
  // One that is seen in any case, and comes last.
  const marker = `${MARKER}${++markers}`;
  await (await fetch(`http://${pod.ip}:${PORT.HTTP}${marker}`)).text();
  await proxy.said(new RegExp(`"path":"${marker}"`));
  const lines = (): AccessLine[] =>
    accessLines(pod)
      .slice(before)
      .filter((line) => isWanted(line, wanted));
  await proxy.until(() => lines().length >= count);
  return lines();
}

/** Whether somebody on the node can connect there. */
export async function connects(host: string, port: number): Promise<boolean> {
  const socket = connect(port, host);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
