// Many sidecars in one process: each has a connection in mutual TLS, and for each destination that it uses a stream of its profile and one
// of its endpoints. Tells its parent when a change has come to each.
import { type ClientHttp2Session, connect } from 'node:http2';
import { decodeUpdate, encodeGetDestination } from '../../src/destination/messages.js';
import { MessageReader } from '../../src/grpc/framing.js';
import { authorityOf, changeOf, clusterIp, namespaceOf, nodeOf } from './objects.js';

export interface SidecarsOrder {
  readonly port: number;
  readonly name: string;
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string };
  readonly sidecars: number;
  readonly destinations: number;
  readonly services: number;
  readonly popular: number;
  /** Of a sidecar's destinations, how many are popular. */
  readonly ofPopular: number;
}
export type SidecarsMessage =
  | { readonly kind: 'connected'; readonly streams: number; readonly seconds: number }
  /** Watchers of each service. */
  | { readonly kind: 'watchers'; readonly counts: readonly number[] }
  /** Changes and when they came, ms since 1970, by turns. */
  | { readonly kind: 'seen'; readonly pairs: readonly number[] };

const SERVICE = '/io.linkerd.proxy.destination.Destination';
const MAX_MESSAGE = 1 << 22;
const AT_ONCE = 20;

let pairs: number[] = [];
const send = (told: SidecarsMessage): void => {
  process.send?.(told);
};

/** Resolves with the first message. */
function stream(session: ClientHttp2Session, method: string, path: string, sidecar: number): Promise<void> {
  const contextToken = JSON.stringify({
    ns: namespaceOf(sidecar),
    nodeName: nodeOf(sidecar),
    pod: `sidecar-${sidecar}`,
  });
  const request = encodeGetDestination({ scheme: '', path, contextToken });
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(request.length, 1);
  const call = session.request({
    ':method': 'POST',
    ':path': `${SERVICE}/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  call.end(Buffer.concat([prefix, request]));
  return new Promise((resolve, reject) => {
    let first = true;
    const reader = new MessageReader(MAX_MESSAGE, (octets) => {
      resolve();
      if (method === 'Get' && !first) note(octets);
      first = false;
    });
    call.on('data', (piece: Buffer) => reader.push(piece));
    call.on('error', reject).on('end', () => reject(new Error('the stream has ended')));
  });
}

function note(octets: Buffer): void {
  const update = decodeUpdate(octets);
  if (update.kind !== 'add') return;
  const atMs = performance.timeOrigin + performance.now();
  for (const { address } of update.endpoints) pairs.push(changeOf(address.host), atMs);
}

function destinationsOf(sidecar: number, order: SidecarsOrder): number[] {
  const chosen = new Set<number>();
  let seed = sidecar + 1;
  const random = (): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 32;
  };
  while (chosen.size < order.ofPopular) chosen.add(Math.floor(random() * order.popular));
  while (chosen.size < order.destinations) chosen.add(Math.floor(random() * order.services));
  return [...chosen];
}

async function begin(order: SidecarsOrder): Promise<void> {
  const began = performance.now();
  const counts = new Array<number>(order.services).fill(0);
  const one = async (sidecar: number): Promise<void> => {
    const session = connect(`https://127.0.0.1:${order.port}`, { ...order.tls, servername: order.name });
    session.on('error', (error) => process.stderr.write(`sidecar ${sidecar}: ${error.message}\n`));
    const chosen = destinationsOf(sidecar, order);
    for (const service of chosen) counts[service] += 1;
    await Promise.all(
      chosen.flatMap((service) => [
        stream(session, 'GetProfile', `${clusterIp(service)}:80`, sidecar),
        stream(session, 'Get', authorityOf(service), sidecar),
      ]),
    );
  };
  for (let from = 0; from < order.sidecars; from += AT_ONCE)
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, order.sidecars - from) }, (_, at) => one(from + at)));
  send({ kind: 'watchers', counts });
  send({
    kind: 'connected',
    streams: 2 * order.sidecars * order.destinations,
    seconds: (performance.now() - began) / 1000,
  });
  setInterval(() => {
    if (pairs.length > 0) send({ kind: 'seen', pairs });
    pairs = [];
  }, 500);
}

process.once('message', (order: SidecarsOrder) => void begin(order));
process.on('disconnect', () => process.exit());
