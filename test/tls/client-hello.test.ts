import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { connect } from 'node:tls';
import fc from 'fast-check';
import { ClientHellos, HELLO, MAX_HELLO_BYTES } from '../../src/tls/client-hello.js';
import { runs } from '../support/runs.js';
import { ech, extension, grease, hello, padding, RECORDED, records, serverName } from './hellos.js';

const NAME = 'web.default.serviceaccount.identity.mesh.example';

interface Sample {
  readonly name: string;
  readonly bytes: Buffer;
  readonly verdict: number;
  /** Asked for, where the verdict is NAMED. */
  readonly asksFor: string;
}

const named = (name: string, bytes: Buffer, asksFor = NAME): Sample => ({ name, bytes, verdict: HELLO.NAMED, asksFor });
const other = (name: string, bytes: Buffer, verdict: number): Sample => ({ name, bytes, verdict, asksFor: '' });
const patched = (bytes: Buffer, at: number, value: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy[at] = value;
  return copy;
};

const SIMPLE = hello([serverName(NAME), padding(20)]);
const LONG = hello([padding(16384 - 400), grease(0x2a2a), serverName(NAME)]);

const SAMPLES: readonly Sample[] = [
  ...RECORDED.map(({ name, bytes, asksFor }) =>
    asksFor === '' ? other(name, bytes, HELLO.NAMELESS) : named(name, bytes, asksFor),
  ),
  named('a name first', records(SIMPLE)),
  named('a name last', records(hello([padding(300), serverName(NAME)]))),
  named('a name in capitals', records(hello([serverName(NAME.toUpperCase())]))),
  named('GREASE before and behind', records(hello([grease(0x1a1a), serverName(NAME), grease(0xdada)]))),
  named('ECH', records(hello([grease(0x3a3a), ech(), serverName('outer.example')])), 'outer.example'),
  named('records of one byte', records(SIMPLE, 1)),
  named('records of seven bytes', records(SIMPLE, 7)),
  named('16 KB in one record', records(LONG)),
  named('16 KB in records of 1,000 bytes', records(LONG, 1000)),
  named('a message that has not come to its end', records(hello([serverName(NAME), padding(60_000)])).subarray(0, 400)),
  named('names of 255 octets', records(hello([serverName('a'.repeat(255))])), 'a'.repeat(255)),
  named('octets that no name has', records(hello([serverName('\xff"\n')])), '\xff"\n'),
  other('no extensions at all', records(hello(undefined)), HELLO.NAMELESS),
  other('an empty list of extensions', records(hello([])), HELLO.NAMELESS),
  other('other extensions only', records(hello([grease(0x1a1a), padding(9)])), HELLO.NAMELESS),
  other('a name beyond the bound', records(hello([padding(40_000), serverName(NAME)])), HELLO.UNREADABLE),
  other('a name behind records of one byte, beyond the bound', records(LONG, 1), HELLO.UNREADABLE),
  other('no TLS', Buffer.from('GET / HTTP/1.1\r\n\r\n'), HELLO.UNREADABLE),
  other('an alert', Buffer.from([21, 3, 3, 0, 2, 2, 40]), HELLO.UNREADABLE),
  other('another message', patched(records(SIMPLE), 5, 2), HELLO.UNREADABLE),
  other('another version of records', patched(records(SIMPLE), 1, 4), HELLO.UNREADABLE),
  other('an empty record', Buffer.from([22, 3, 1, 0, 0]), HELLO.UNREADABLE),
  other('a record that is too large', Buffer.from([22, 3, 1, 0x41, 1]), HELLO.UNREADABLE),
  other(
    'an alert in the middle',
    Buffer.concat([records(SIMPLE.subarray(0, 40)), Buffer.from([21, 3, 3, 0, 2, 1, 0])]),
    HELLO.UNREADABLE,
  ),
  other('a session of 33 bytes', patched(records(SIMPLE), 5 + 4 + 34, 33), HELLO.UNREADABLE),
  other('ciphers beyond the message', patched(records(SIMPLE), 5 + 4 + 34 + 33, 0xff), HELLO.UNREADABLE),
  other(
    'extensions beyond the message',
    records(Buffer.concat([hello([padding(5)]).subarray(0, -1)])).fill(
      0xff,
      5 + 4 + 34 + 33 + 8 + 2,
      5 + 4 + 34 + 33 + 8 + 4,
    ),
    HELLO.UNREADABLE,
  ),
  other('an extension beyond the extensions', records(hello([Buffer.from([0, 9, 0, 9, 1])])), HELLO.UNREADABLE),
  other('an empty name', records(hello([serverName('')])), HELLO.UNREADABLE),
  other('a name of 256 octets', records(hello([serverName('a'.repeat(256))])), HELLO.UNREADABLE),
  other('a name of another type', records(hello([extension(0, Buffer.from([0, 4, 1, 0, 1, 97]))])), HELLO.UNREADABLE),
  other('an empty list of names', records(hello([extension(0, Buffer.from([0, 0]))])), HELLO.UNREADABLE),
  other(
    'a list of names that is shorter than its extension',
    records(hello([extension(0, Buffer.from([0, 4, 0, 0, 1, 97, 0]))])),
    HELLO.UNREADABLE,
  ),
  other(
    'a message that is shorter than its parts',
    records(Buffer.concat([Buffer.from([1, 0, 0, 20]), SIMPLE.subarray(4)])),
    HELLO.UNREADABLE,
  ),
];

/** The verdict after `bytes`, fed in pieces that end at each of `cuts`. */
function inPieces(hellos: ClientHellos, bytes: Uint8Array, cuts: readonly number[]): number {
  hellos.begin(0);
  let verdict: number = HELLO.MORE;
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    verdict = hellos.read(0, bytes, from, cut);
    from = cut;
  }
  return verdict;
}

function nameIn(bytes: Uint8Array): string {
  const hellos = new ClientHellos(0);
  hellos.begin(hellos.spare);
  assert.equal(hellos.read(hellos.spare, bytes, 0, bytes.length), HELLO.NAMED);
  return hellos.lastName();
}

/** What `speak` sends first to a server that it is told the port of. */
async function heardFrom(speak: (port: number) => { end(): void }): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const speaker = speak((server.address() as AddressInfo).port);
  const [socket] = (await once(server, 'connection')) as [Socket];
  let bytes = Buffer.alloc(0);
  while (bytes.length < 5 || bytes.length < 5 + bytes.readUInt16BE(3)) {
    const [data] = (await once(socket, 'data')) as [Buffer];
    bytes = Buffer.concat([bytes, data]);
  }
  socket.destroy();
  speaker.end();
  server.close();
  return bytes;
}

function program(command: string, ...args: string[]): { end(): void } {
  const child = spawn(command, args, { stdio: ['pipe', 'ignore', 'ignore'] });
  return { end: () => child.kill() };
}

describe('the name in a ClientHello', () => {
  for (const { name, bytes, verdict, asksFor } of SAMPLES) {
    it(`is found, or not: ${name}`, () => {
      assert.equal(inPieces(new ClientHellos(1), bytes, []), verdict);
      if (verdict === HELLO.NAMED) assert.equal(nameIn(bytes), asksFor);
    });
  }

  it('does not depend on where the bytes were split', () => {
    const hellos = new ClientHellos(1);
    for (const { name, bytes, verdict } of SAMPLES) {
      const step = bytes.length > 2000 ? 97 : 1;
      for (let cut = 0; cut <= bytes.length; cut += step)
        assert.equal(inPieces(hellos, bytes, [cut]), verdict, `${name} cut at ${cut}`);
      assert.equal(
        inPieces(
          hellos,
          bytes,
          Array.from(bytes, (_, i) => i),
        ),
        verdict,
        `${name} byte by byte`,
      );
    }
  });

  it('does not depend on what other connections say meanwhile', () => {
    const hellos = new ClientHellos(2);
    hellos.begin(0);
    hellos.begin(1);
    const bytes = records(SIMPLE);
    let verdict: number = HELLO.MORE;
    for (let i = 0; i < bytes.length; i++) {
      verdict = hellos.read(0, bytes, i, i + 1);
      hellos.read(1, LONG, i, i + 1);
    }
    assert.equal(verdict, HELLO.NAMED);
  });

  it('is as good as any after a connection that had the slot before', () => {
    const hellos = new ClientHellos(1);
    hellos.begin(0);
    hellos.read(0, records(SIMPLE), 0, 100);
    for (const { bytes, verdict } of SAMPLES) assert.equal(inPieces(hellos, bytes, []), verdict);
  });

  it('has a verdict, however damaged it is, that does not depend on splits', () => {
    const damaged = fc.tuple(
      fc.constantFrom(...SAMPLES),
      fc.nat(200),
      fc.nat(255),
      fc.array(fc.nat(600), { maxLength: 8 }),
    );
    const hellos = new ClientHellos(1);
    fc.assert(
      fc.property(damaged, ([sample, at, byte, cuts]) => {
        const bytes = patched(sample.bytes, Math.min(at, sample.bytes.length - 1), byte);
        const within = cuts.filter((cut) => cut <= bytes.length).sort((a, b) => a - b);
        return inPieces(hellos, bytes, within) === inPieces(hellos, bytes, []);
      }),
      { numRuns: runs(2000) },
    );
  });

  it('stays unknown while a hello is stalled, and not beyond the bound', () => {
    const hellos = new ClientHellos(1);
    hellos.begin(0);
    const bytes = records(hello([padding(60_000)]));
    assert.equal(hellos.read(0, bytes, 0, MAX_HELLO_BYTES), HELLO.MORE);
    assert.equal(hellos.read(0, bytes, MAX_HELLO_BYTES, MAX_HELLO_BYTES + 1), HELLO.UNREADABLE);
  });

  it('is found in what node:tls, openssl and curl say', async () => {
    const speakers = [
      (port: number) => {
        const socket = connect({ port, host: '127.0.0.1', servername: NAME });
        socket.on('error', () => undefined);
        return socket;
      },
      (port: number) => program('openssl', 's_client', '-connect', `127.0.0.1:${port}`, '-servername', NAME),
      (port: number) => program('curl', '-sk', '--connect-to', `::127.0.0.1:${port}`, `https://${NAME}/`),
    ];
    for (const speak of speakers) assert.equal(nameIn(await heardFrom(speak)), NAME);
    const silent = await heardFrom((port) =>
      program('openssl', 's_client', '-noservername', '-connect', `127.0.0.1:${port}`),
    );
    assert.equal(inPieces(new ClientHellos(1), silent, []), HELLO.NAMELESS);
  });
});
