// What must never reach an endpoint: anything that two parsers could read differently. Each is answered with its status and
// the end of the connection, and the endpoint sees no byte of it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { settled, startEdge } from '../support/gateway.js';
import { answering, client, OK, type Upstream, upstream } from '../support/http.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';

const HOST = 'Host: a\r\n';
const post = (fields: string, body = ''): string => `POST / HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
const CHUNKED = 'Transfer-Encoding: chunked\r\n';

/** Name, bytes, status. */
const CASES: readonly (readonly [string, string, number])[] = [
  ['CL.TE', post(`Content-Length: 6\r\n${CHUNKED}`, '0\r\n\r\nG'), 400],
  ['TE.CL', post(`${CHUNKED}Content-Length: 4\r\n`, '12\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n'), 400],
  ['Transfer-Encoding twice', post(CHUNKED + CHUNKED, '0\r\n\r\n'), 400],
  ['Transfer-Encoding: chunked, chunked', post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n'), 400],
  ['Transfer-Encoding: identity', post('Transfer-Encoding: identity\r\n'), 400],
  ['Transfer-Encoding: xchunked', post('Transfer-Encoding: xchunked\r\n'), 400],
  ['Transfer-Encoding: gzip, chunked', post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'), 501],
  ['Transfer-Encoding with a vertical tab', post('Transfer-Encoding: \vchunked\r\n', '0\r\n\r\n'), 400],
  ['Transfer_Encoding', post('Transfer_Encoding: chunked\r\n'), 400],
  ['Content_Length', post('Content_Length: 3\r\n', 'abc'), 400],
  ['Transfer-Encoding in HTTP/1.0', `POST / HTTP/1.0\r\n${HOST}${CHUNKED}\r\n0\r\n\r\n`, 400],
  ['Content-Length twice', post('Content-Length: 3\r\nContent-Length: 3\r\n', 'abc'), 400],
  ['Content-Length list', post('Content-Length: 3, 3\r\n', 'abc'), 400],
  ['Content-Length +3', post('Content-Length: +3\r\n', 'abc'), 400],
  ['Content-Length -3', post('Content-Length: -3\r\n', 'abc'), 400],
  ['Content-Length 0x3', post('Content-Length: 0x3\r\n', 'abc'), 400],
  ['Content-Length 3 4', post('Content-Length: 3 4\r\n', 'abc'), 400],
  ['Content-Length empty', post('Content-Length:\r\n', 'abc'), 400],
  ['Content-Length above 2^53', post('Content-Length: 99999999999999999999\r\n', 'abc'), 400],
  ['bare LF after the request line', `GET / HTTP/1.1\n${HOST}\r\n`, 400],
  ['bare LF after a field', 'GET / HTTP/1.1\r\nHost: a\n\r\n', 400],
  ['bare LF blank line', 'GET / HTTP/1.1\r\nHost: a\r\n\n', 400],
  ['bare CR in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n', 400],
  ['bare CR in the request line', `GET /\rx HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['obs-fold', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n', 400],
  ['whitespace before the first field', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 400],
  ['space before the colon', post('Content-Length : 3\r\n', 'abc'), 400],
  ['tab before the colon', post('Transfer-Encoding\t: chunked\r\n', '0\r\n\r\n'), 400],
  ['field without colon', 'GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n', 400],
  ['empty field name', 'GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n', 400],
  ['NUL in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n', 400],
  ['NUL in a name', 'GET / HTTP/1.1\r\nHost: a\r\nX\0Y: b\r\n\r\n', 400],
  ['NUL in the target', `GET /\0 HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['DEL in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n', 400],
  ['non-ASCII target', `GET /\xe4 HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['fragment in the target', `GET /a#b HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['two spaces in the request line', `GET  / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['no version', `GET /\r\n${HOST}\r\n`, 400],
  ['lower-case version', `GET / http/1.1\r\n${HOST}\r\n`, 400],
  ['version 1.10', `GET / HTTP/1.10\r\n${HOST}\r\n`, 400],
  ['version 2.0', `GET / HTTP/2.0\r\n${HOST}\r\n`, 505],
  ['version 0.9', `GET / HTTP/0.9\r\n${HOST}\r\n`, 505],
  ['trailing space after the version', `GET / HTTP/1.1 \r\n${HOST}\r\n`, 400],
  ['method that is no token', `G(T / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', 400],
  ['Host with userinfo', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n', 400],
  ['Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
  ['Host with a bad port', 'GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n', 400],
  ['Host with a space', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
  ['two Hosts with an absolute target', 'GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
  ['absolute target with userinfo', `GET http://u@a/ HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['absolute target without authority', `GET http:/// HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['absolute target of another scheme', `GET ftp://a/ HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['asterisk with GET', `GET * HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['CONNECT with a path', `CONNECT /x HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['CONNECT without a port', `CONNECT a HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['CONNECT with a body', `CONNECT a:1 HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\nx`, 400],
  ['TRACE with a body', `TRACE / HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\nx`, 400],
  ['Connection: content-length', post('Connection: content-length\r\nContent-Length: 3\r\n', 'abc'), 400],
  ['Connection: host', `GET / HTTP/1.1\r\n${HOST}Connection: host\r\n\r\n`, 400],
  ['Connection that is no token list', `GET / HTTP/1.1\r\n${HOST}Connection: a b\r\n\r\n`, 400],
  ['another expectation', post('Expect: 200-maybe\r\nContent-Length: 3\r\n', 'abc'), 417],
  ['two expectations', post('Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 3\r\n', 'abc'), 417],
  ['chunk size 0x', post(CHUNKED, '0x1\r\na\r\n0\r\n\r\n'), 400],
  ['chunk size +', post(CHUNKED, '+1\r\na\r\n0\r\n\r\n'), 400],
  ['chunk size -', post(CHUNKED, '-1\r\na\r\n0\r\n\r\n'), 400],
  ['chunk size _', post(CHUNKED, '1_0\r\na\r\n0\r\n\r\n'), 400],
  ['chunk size empty', post(CHUNKED, '\r\na\r\n0\r\n\r\n'), 400],
  ['chunk size that overflows', post(CHUNKED, 'fffffffffffffffff\r\na\r\n0\r\n\r\n'), 400],
  ['chunk size after a space', post(CHUNKED, ' 1\r\na\r\n0\r\n\r\n'), 400],
  ['chunk line that ends in LF', post(CHUNKED, '1\na\r\n0\r\n\r\n'), 400],
  ['chunk extension with LF', post(CHUNKED, '1;a\nb\r\na\r\n0\r\n\r\n'), 400],
  ['chunk extension without end', post(CHUNKED, `1;${'a'.repeat(300)}\r\na\r\n0\r\n\r\n`), 400],
  ['chunk longer than its size', post(CHUNKED, '1\r\nab\r\n0\r\n\r\n'), 400],
  ['chunk data that ends in LF', post(CHUNKED, '1\r\na\n0\r\n\r\n'), 400],
  ['trailer with a bare LF', post(CHUNKED, '1\r\na\r\n0\r\nT: 1\n\r\n'), 400],
  ['trailer with a fold', post(CHUNKED, '0\r\nT: 1\r\n 2\r\n\r\n'), 400],
  ['trailer without colon', post(CHUNKED, '0\r\nnonsense\r\n\r\n'), 400],
];

for (const io of await availableExecutors()) {
  describe(`HTTP/1 malformed requests on ${io}`, () => {
    let origin: Upstream;
    let sluice: Sluice;

    before(async () => {
      origin = await upstream(answering(() => OK));
      sluice = await startEdge(io, [origin.address], { service: '    pool: { idleTimeout: 50ms }' });
    });
    afterEach(() => settled(sluice));
    after(async () => {
      assert.equal(await sluice.stop(), 0);
      await origin.close();
    });

    it('answers each with its status, ends the connection, and sends nothing on', async () => {
      const before = origin.received;
      await Promise.all(
        CASES.map(async ([name, bytes, status]) => {
          const wire = await client(sluice.port('edge'));
          wire.write(bytes);
          const response = await wire.message();
          assert.equal(response.status, status, name);
          assert.equal(response.field('connection'), 'close', name);
          assert.notEqual(response.field('sluice-error'), null, name);
          assert.equal(await wire.closed(), 'fin', name);
          wire.destroy();
        }),
      );
      assert.equal(origin.received, before);
    });

    it('answers each alike behind a valid request, which alone is sent on', async () => {
      await Promise.all(
        CASES.map(async ([name, bytes, status]) => {
          const wire = await client(sluice.port('edge'));
          wire.write(`GET /first HTTP/1.1\r\n${HOST}\r\n${bytes}`);
          assert.equal((await wire.message()).status, 200, name);
          assert.equal((await wire.message()).status, status, name);
          assert.equal(await wire.closed(), 'fin', name);
          wire.destroy();
        }),
      );
      const heads = origin.connections.map((side) => side.text).join('');
      assert.equal(heads, '', 'what the endpoint got is whole requests');
    });

    it('answers each alike where it arrives octet by octet, and no endpoint takes what came for a whole request', async () => {
      let whole = 0;
      origin.script(async (side) => {
        for (;;) {
          await side.message();
          whole++;
          side.write(OK);
        }
      });
      // Connections from before go with the old script.
      await eventually(async () => (await sluice.metric('sluice_endpoint_pool_idle')) === 0, 'an empty pool');
      const few = CASES.filter((_, i) => i % 4 === 0);
      await Promise.all(
        few.map(async ([name, bytes, status]) => {
          const wire = await client(sluice.port('edge'));
          for (const octet of Buffer.from(bytes, 'latin1')) {
            if (wire.end !== undefined || wire.total > 0) break;
            await wire.sent(Uint8Array.of(octet)).catch(() => undefined);
            await new Promise((resolve) => setImmediate(resolve));
          }
          assert.equal((await wire.message()).status, status, name);
          wire.destroy();
        }),
      );
      assert.equal(whole, 0);
      origin.script(answering(() => OK));
    });

    it('survives garbage', async () => {
      const alphabet =
        'GET / HTTP/1.1\r\n\r\n:;,0123456789abcdefPOST Host: Content-Length Transfer-Encoding chunked\0\x7f\xff\t';
      const pieces = [
        'GET / HTTP/1.1\r\n',
        'Host: a\r\n',
        '\r\n',
        CHUNKED,
        'Content-Length: 5\r\n',
        '5\r\nhello\r\n',
        '0\r\n\r\n',
        'POST / HTTP/1.1\r\n',
        'hello',
        'Upgrade: x\r\nConnection: upgrade\r\n',
        'HEAD / HTTP/1.0\r\n',
      ];
      const random = (n: number): number => randomBytes(4).readUInt32LE() % n;
      const garbage = (): string => {
        let text = '';
        for (let i = random(12); i >= 0; i--) {
          if (random(4) > 0) text += pieces[random(pieces.length)];
          else for (let j = random(40); j >= 0; j--) text += alphabet[random(alphabet.length)];
        }
        return text;
      };
      const end = performance.now() + 2000;
      const attack = async (): Promise<void> => {
        while (performance.now() < end) {
          const wire = await client(sluice.port('edge'));
          for (let i = random(4); i >= 0; i--) await wire.sent(garbage()).catch(() => undefined);
          if (random(3) === 0) wire.reset();
          else if (random(2) === 0) wire.destroy();
          else {
            wire.fin();
            await wire.closed();
            wire.destroy();
          }
        }
      };
      await Promise.all(Array.from({ length: 8 }, attack));
      assert.equal(sluice.child.exitCode, null);
    });
  });
}
