// A DNS server for tests: answers A, AAAA and SRV over UDP on loopback from records that a test may change.
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';

export interface Srv {
  readonly target: string;
  readonly port: number;
  readonly priority?: number;
}

/** What a name has; an absent name is NXDOMAIN, 'fail' is SERVFAIL. `ttl` in seconds. */
export interface Zone {
  [name: string]: {
    ttl?: number;
    a?: readonly string[] | 'fail';
    aaaa?: readonly string[] | 'fail';
    srv?: readonly Srv[] | 'fail';
  };
}

export interface DnsServer {
  zone: Zone;
  /** Questions seen, as `name type`. */
  readonly questions: string[];
  readonly client: Resolver;
  close(): void;
}

const TYPES: Readonly<Record<number, 'a' | 'aaaa' | 'srv'>> = { 1: 'a', 28: 'aaaa', 33: 'srv' };

const encodeName = (name: string): Buffer =>
  Buffer.concat([
    ...name
      .split('.')
      .filter((label) => label !== '')
      .map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)])),
    Buffer.of(0),
  ]);

function encodeIpv6(address: string): Buffer {
  const [head, tail = ''] = address.split('::');
  const groups = (text: string) => text.split(':').filter((group) => group !== '');
  const zeros = Array<string>(8 - groups(head).length - groups(tail).length).fill('0');
  const all = address.includes('::') ? [...groups(head), ...zeros, ...groups(tail)] : groups(address);
  const bytes = Buffer.alloc(16);
  for (const [i, group] of all.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * i);
  return bytes;
}

function encodeSrv({ priority = 0, port, target }: Srv): Buffer {
  const fixed = Buffer.alloc(6);
  fixed.writeUInt16BE(priority, 0);
  fixed.writeUInt16BE(port, 4);
  return Buffer.concat([fixed, encodeName(target)]);
}

function answer(query: Buffer, zone: Zone, questions: string[]): Buffer {
  const labels: string[] = [];
  let at = 12;
  while (query[at] !== 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
    at += 1 + query[at];
  }
  const name = labels.join('.').toLowerCase();
  const type = query.readUInt16BE(at + 1);
  const question = query.subarray(12, at + 5);
  const kind = TYPES[type];
  questions.push(`${name} ${kind}`);

  const entry = zone[name];
  const data = entry?.[kind] ?? [];
  const failed = data === 'fail';
  const rdata = failed
    ? []
    : data.map((item) => {
        if (typeof item !== 'string') return encodeSrv(item);
        return kind === 'a' ? Buffer.from(item.split('.').map(Number)) : encodeIpv6(item);
      });
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  // QR, RD, RA; NOERROR, SERVFAIL or NXDOMAIN (RFC 1035 section 4.1.1).
  header.writeUInt16BE(0x8180 | (failed ? 2 : entry === undefined ? 3 : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(rdata.length, 6);
  const records = rdata.map((bytes) => {
    const fixed = Buffer.alloc(12);
    fixed.writeUInt16BE(0xc00c, 0); // the question's name
    fixed.writeUInt16BE(type, 2);
    fixed.writeUInt16BE(1, 4);
    fixed.writeUInt32BE(entry?.ttl ?? 60, 6);
    fixed.writeUInt16BE(bytes.length, 10);
    return Buffer.concat([fixed, bytes]);
  });
  return Buffer.concat([header, question, ...records]);
}

/** Starts the server, on a free port of 127.0.0.1 unless another is named. */
export async function startDnsServer(zone: Zone, address = '127.0.0.1', port = 0): Promise<DnsServer> {
  const socket = createSocket('udp4');
  const questions: string[] = [];
  const server: DnsServer = {
    zone,
    questions,
    client: new Resolver({ timeout: 500, tries: 1 }),
    close: () => socket.close(),
  };
  socket.on('message', (query, from) => socket.send(answer(query, server.zone, questions), from.port, from.address));
  socket.bind(port, address);
  await once(socket, 'listening');
  server.client.setServers([`${address}:${socket.address().port}`]);
  return server;
}
