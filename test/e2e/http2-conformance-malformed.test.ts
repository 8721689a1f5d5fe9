// RFC 9113 section 8 and RFC 8441: requests and responses that are malformed go no further.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Code, END_STREAM, PADDED, padded } from '../support/h2-frames.js';
import { fieldOf } from '../support/h2-inbox.js';
import { type H2Peer, REQUEST } from '../support/h2-peer.js';
import type { Pair } from '../support/naive-hpack.js';
import { type Bench, type Exchange, onEachExecutor, requestFields, WEBSOCKET } from './http2-conformance-support.js';

const MALFORMED: Code = 'PROTOCOL_ERROR';

const NAMES_WRONG: readonly (readonly [what: string, name: string])[] = [
  ['an upper-case letter', 'X-a'],
  ['a space', 'x a'],
  ['NUL', 'x\0a'],
  ['a line feed', 'x\na'],
  ['a colon inside', 'x:a'],
  ['DEL', 'x\x7fa'],
  ['an octet above 127', 'x\xe4'],
  ['nothing', ''],
];
const VALUES_WRONG: readonly (readonly [what: string, value: string])[] = [
  ['NUL', 'a\0b'],
  ['a carriage return', 'a\rb'],
  ['a line feed', 'a\nb'],
  ['an end of line and another field', 'a\r\nx-b: c'],
  ['a space in front', ' a'],
  ['a tab in front', '\ta'],
  ['a space behind', 'a '],
  ['a tab behind', 'a\t'],
];
/** Wrong in requests, responses and trailers alike. */
const FIELDS_WRONG: readonly (readonly [section: string, what: string, field: Pair])[] = [
  ...NAMES_WRONG.map(([what, name]) => ['8.2.1', `a name with ${what}`, [name, 'v']] as const),
  ...VALUES_WRONG.map(([what, value]) => ['8.2.1', `a value with ${what}`, ['x-a', value]] as const),
  ['8.2.2', 'connection', ['connection', 'close']],
  ['8.2.2', 'keep-alive', ['keep-alive', 'timeout=5']],
  ['8.2.2', 'proxy-connection', ['proxy-connection', 'keep-alive']],
  ['8.2.2', 'transfer-encoding', ['transfer-encoding', 'chunked']],
  ['8.2.2', 'upgrade', ['upgrade', 'h2c']],
  ['8.3', 'an unknown pseudo-header', [':unknown', 'v']],
  ['8.3', 'a pseudo-header behind a field', [':path', '/late']],
];

const REQUESTS_WRONG: readonly (readonly [section: string, what: string, fields: readonly Pair[]])[] = [
  ...FIELDS_WRONG.map(([section, what, field]) => [section, what, requestFields([['x-first', '1'], field])] as const),
  ['8.2.2', 'te of other than trailers', requestFields([['te', 'gzip']])],
  ['8.2.2', 'te of trailers and more', requestFields([['te', 'trailers, deflate']])],
  ['8.3', 'a pseudo-header in upper case', [...requestFields([], [':path']), [':Path', '/ok']]],
  ['8.3', ':status in a request', [...REQUEST, [':status', '200']]],
  ['8.3', 'two of :method', [...REQUEST, [':method', 'GET']]],
  ['8.3', 'two of :scheme', [...REQUEST, [':scheme', 'http']]],
  ['8.3', 'two of :path', [...REQUEST, [':path', '/ok']]],
  ['8.3', 'two of :authority', [...REQUEST, [':authority', 'conformance.test']]],
  [
    '8.3',
    ':authority behind a field',
    requestFields(
      [
        ['x-a', 'b'],
        [':authority', 'a'],
      ],
      [':authority'],
    ),
  ],
  ['8.3.1', 'no :method', requestFields([], [':method'])],
  ['8.3.1', 'no :scheme', requestFields([], [':scheme'])],
  ['8.3.1', 'no :path', requestFields([], [':path'])],
  ['8.3.1', 'no field at all', []],
  ['8.3.1', 'an empty :path', [...requestFields([], [':path']), [':path', '']]],
  ['8.3.1', ':path without a slash', [...requestFields([], [':path']), [':path', 'ok']]],
  ['8.3.1', ':path * but not OPTIONS', [...requestFields([], [':path']), [':path', '*']]],
  ['8.3.1', ':path with a space', [...requestFields([], [':path']), [':path', '/o k HTTP/1.1']]],
  ['8.3.1', ':path with an end of line', [...requestFields([], [':path']), [':path', '/\r\nx: y']]],
  ['8.3.1', ':path with a fragment', [...requestFields([], [':path']), [':path', '/ok#there']]],
  ['8.3.1', 'an empty :method', [...requestFields([], [':method']), [':method', '']]],
  ['8.3.1', ':method that is no token', [...requestFields([], [':method']), [':method', 'GE T']]],
  ['8.3.1', ':method with an end of line', [...requestFields([], [':method']), [':method', 'GET\r\n']]],
  ['8.3.1', ':scheme that is none', [...requestFields([], [':scheme']), [':scheme', 'ht tp']]],
  ['8.3.1', ':authority with userinfo', [...requestFields([], [':authority']), [':authority', 'me@a.test']]],
  ['8.3.1', ':authority with a slash', [...requestFields([], [':authority']), [':authority', 'a.test/x']]],
  ['8.3.1', 'host that differs from :authority', requestFields([['host', 'other.test']])],
  [
    '8.3.1',
    'two hosts',
    requestFields([
      ['host', 'conformance.test'],
      ['host', 'conformance.test'],
    ]),
  ],
  [
    '8.5',
    'CONNECT with :scheme',
    [
      [':method', 'CONNECT'],
      [':scheme', 'http'],
      [':authority', 'a.test:80'],
    ],
  ],
  [
    '8.5',
    'CONNECT with :path',
    [
      [':method', 'CONNECT'],
      [':path', '/ok'],
      [':authority', 'a.test:80'],
    ],
  ],
  ['8.5', 'CONNECT without :authority', [[':method', 'CONNECT']]],
  ['8441-4', ':protocol without CONNECT', [...REQUEST, [':protocol', 'websocket']]],
  ['8441-4', 'extended CONNECT without :scheme', WEBSOCKET.filter(([name]) => name !== ':scheme')],
  ['8441-4', 'extended CONNECT without :path', WEBSOCKET.filter(([name]) => name !== ':path')],
  ['8441-4', 'two of :protocol', [...WEBSOCKET, [':protocol', 'websocket']]],
  ['8.1.1', 'content-length without content', requestFields([['content-length', '5']])],
  ['8.1.1', 'content-length that is no number', requestFields([['content-length', 'abc']])],
  ['8.1.1', 'content-length below 0', requestFields([['content-length', '-1']])],
  ['8.1.1', 'content-length with a sign', requestFields([['content-length', '+0']])],
  ['8.1.1', 'content-length above 2^53', requestFields([['content-length', '99999999999999999999']])],
  [
    '8.1.1',
    'content-lengths that differ',
    requestFields([
      ['content-length', '0'],
      ['content-length', '1'],
    ]),
  ],
  ['8.1.1', 'content-lengths that differ on one line', requestFields([['content-length', '0, 1']])],
];

const REQUESTS_RIGHT: readonly (readonly [section: string, what: string, fields: readonly Pair[]])[] = [
  ['8.2.2', 'te: trailers', requestFields([['te', 'trailers']])],
  ['8.2.1', 'an empty value', requestFields([['x-a', '']])],
  ['8.2.1', 'a value with a tab and octets above 127', requestFields([['x-a', 'a\tb \xe4\xff']])],
  ['8.2.1', 'every token character in a name', requestFields([["!#$%&'*+-.^_`|~09az", 'v']])],
  [
    '8.2.3',
    'cookies in pieces',
    requestFields([
      ['cookie', 'a=b'],
      ['cookie', 'c=d'],
      ['cookie', 'e=f'],
    ]),
  ],
  [
    '8.3.1',
    'OPTIONS *',
    [
      [':method', 'OPTIONS'],
      [':scheme', 'http'],
      [':path', '*'],
      [':authority', 'a.test'],
    ],
  ],
  ['8.3.1', 'host instead of :authority', requestFields([['host', 'a.test']], [':authority'])],
  ['8.3.1', 'host that is the same as :authority', requestFields([['host', 'conformance.test']])],
  ['8.3', 'pseudo-headers in another order', [...REQUEST].reverse()],
  ['8.3.1', 'a method nobody knows', [...requestFields([], [':method']), [':method', 'M-SEARCH']]],
  ['8.3.1', 'a query', [...requestFields([], [':path']), [':path', '/right?a=b&c=%20#'.replace('#', '')]]],
  ['8.1.1', 'content-length 0 without content', requestFields([['content-length', '0']])],
];

/** What goes on behind a request's head that has reached the endpoint. */
const GO_WRONG: readonly (readonly [
  section: string,
  what: string,
  fields: Record<string, string>,
  play: (peer: H2Peer, stream: number) => void,
])[] = [
  ['8.1.1', 'less than content-length', { 'content-length': '5' }, (peer, id) => peer.data(id, 'four', END_STREAM)],
  ['8.1.1', 'more than content-length', { 'content-length': '3' }, (peer, id) => peer.data(id, 'four', END_STREAM)],
  [
    '8.1.1',
    'more than content-length, in pieces',
    { 'content-length': '5' },
    (peer, id) => {
      peer.data(id, 'abc');
      peer.data(id, 'def');
    },
  ],
  ['8.1.1', 'content though content-length is 0', { 'content-length': '0' }, (peer, id) => peer.data(id, 'x')],
  [
    '8.1.1',
    'padding instead of content',
    { 'content-length': '5' },
    (peer, id) => peer.frame('DATA', PADDED | END_STREAM, id, padded(Buffer.alloc(0), 4)),
  ],
  [
    '8.1.1',
    'trailers before all of content-length',
    { 'content-length': '5' },
    (peer, id) => {
      peer.data(id, 'abc');
      peer.headers(id, { 'x-end': 'yes' }, END_STREAM);
    },
  ],
  ['8.1', 'trailers without END_STREAM', {}, (peer, id) => peer.headers(id, { 'x-end': 'yes' })],
  ['8.1', 'a pseudo-header in trailers', {}, (peer, id) => peer.headers(id, { ':path': '/ok' }, END_STREAM)],
  ['8.1', ':status in trailers', {}, (peer, id) => peer.headers(id, { ':status': '200' }, END_STREAM)],
  ...FIELDS_WRONG.filter(([, , [name]]) => !name.startsWith(':')).map(
    ([section, what, field]) =>
      [section, `trailers: ${what}`, {}, (peer: H2Peer, id: number) => peer.headers(id, [field], END_STREAM)] as const,
  ),
];

const STATUS_OK: Pair = [':status', '200'];
const RESPONSES_WRONG: readonly (readonly [section: string, what: string, fields: readonly Pair[], flags?: number])[] =
  [
    ...FIELDS_WRONG.map(([section, what, field]) => [section, what, [STATUS_OK, ['x-first', '1'], field]] as const),
    ['8.3.2', 'no :status', [['x-a', 'b']]],
    ['8.3.2', 'no field at all', []],
    ['8.3.2', 'two of :status', [STATUS_OK, STATUS_OK]],
    ['8.3.2', ':status behind a field', [['x-a', 'b'], STATUS_OK]],
    ...['20', '2000', 'abc', '', '+20', '2 0', '99', '000'].map(
      (status) => ['8.3.2', `:status ${JSON.stringify(status)}`, [[':status', status]]] as const,
    ),
    ['8.3', 'request pseudo-headers', [STATUS_OK, [':path', '/']]],
    ['8.6', ':status 101', [[':status', '101']]],
    ['8.1', 'an interim response with END_STREAM', [[':status', '103']], END_STREAM],
    ['8.1.1', 'content-length that is no number', [STATUS_OK, ['content-length', 'abc']]],
    ['8.1.1', 'content-lengths that differ', [STATUS_OK, ['content-length', '3'], ['content-length', '4']]],
    ['8.1.1', 'content-length without content', [STATUS_OK, ['content-length', '3']], END_STREAM],
  ];

const RESPONSES_GO_WRONG: readonly (readonly [
  section: string,
  what: string,
  play: (peer: H2Peer, stream: number) => void,
])[] = [
  ['8.1', 'DATA before HEADERS', (peer, id) => peer.data(id, 'x', END_STREAM)],
  [
    '8.1',
    'DATA behind an interim response',
    (peer, id) => {
      peer.headers(id, { ':status': '100' });
      peer.data(id, 'x', END_STREAM);
    },
  ],
  ...GO_WRONG.map(
    ([section, what, fields, play]) =>
      [
        section,
        what,
        (peer: H2Peer, id: number) => {
          peer.headers(id, { ':status': '200', ...fields });
          play(peer, id);
        },
      ] as const,
  ),
];

/** RST_STREAM or 400, whichever: section 8.1.1 allows both. */
async function refused(client: H2Peer, stream: number): Promise<void> {
  const response = await client.response(stream);
  if (response.reset !== null && response.status === 0) assert.equal(response.reset, MALFORMED);
  else assert.equal(response.status, 400);
}

/** The endpoint's stream was ended by Sluice, and the client never took the response for whole. */
async function badGateway({ client, asked, endpoint, arrived }: Exchange): Promise<void> {
  await endpoint.expect('RST_STREAM', { stream: arrived, code: MALFORMED });
  await endpoint.sync();
  const response = await client.response(asked);
  if (response.reset === null) {
    assert.equal(response.status, 502);
    assert.notEqual(response.field('sluice-error'), null);
  }
  await client.sync();
}

await onEachExecutor('HTTP/2 malformed messages', {}, (bench) => {
  const test = (name: string, play: (bench: Bench) => Promise<void>): void => {
    it(name, () => bench().play(() => play(bench())));
  };

  for (const [section, what, fields] of REQUESTS_WRONG) {
    test(`${section} a request with ${what} is malformed`, async (on) => {
      const client = await on.client();
      const before = on.endpoint.requests;
      client.headers(1, fields, END_STREAM);
      await refused(client, 1);
      client.skipTo(3);
      assert.equal((await client.response(client.request())).status, 200);
      assert.equal(on.endpoint.requests, before + 1);
    });
  }

  for (const [section, what, fields] of REQUESTS_RIGHT) {
    test(`${section} a request with ${what} is not`, async (on) => {
      const client = await on.client();
      const path = fields.find(([name]) => name === ':path')?.[1] ?? '';
      const wanted =
        path === '/ok' ? fields.map(([name, value]): Pair => [name, name === ':path' ? '/right' : value]) : fields;
      client.headers(1, wanted, END_STREAM);
      const { peer, stream, fields: seen } = await on.endpoint.request();
      const text = (list: readonly (readonly [string, string])[]): string[] =>
        list.filter(([name]) => !['host', ':authority'].includes(name)).map(([name, value]) => `${name}: ${value}`);
      assert.deepEqual(new Set(text(seen.map(({ name, value }) => [name, value]))), new Set(text(wanted)));
      const host = (name: string): string | undefined => wanted.find(([key]) => key === name)?.[1];
      assert.equal(fieldOf(seen, ':authority') ?? fieldOf(seen, 'host'), host(':authority') ?? host('host'));
      peer.headers(stream, { ':status': '204' }, END_STREAM);
      assert.equal((await client.response(1)).status, 204);
    });
  }

  for (const [section, what, fields, play] of GO_WRONG) {
    test(`${section} a request that goes on with ${what} is malformed`, async (on) => {
      const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open', fields });
      play(client, asked);
      await refused(client, asked);
      await endpoint.expect('RST_STREAM', { stream: arrived });
      const frames = [...endpoint.arrived('DATA', arrived), ...endpoint.arrived('HEADERS', arrived)];
      assert.ok(!frames.some(({ endStream }) => endStream), 'the request looks whole');
      assert.equal((await client.response(client.request())).status, 200);
    });
  }

  for (const [section, what, fields, flags] of RESPONSES_WRONG) {
    test(`${section} a response with ${what} is malformed`, async (on) => {
      const exchange = await on.exchange();
      exchange.endpoint.headers(exchange.arrived, fields, flags ?? 0);
      await badGateway(exchange);
    });
  }

  for (const [section, what, play] of RESPONSES_GO_WRONG) {
    test(`${section} a response that goes on with ${what} is malformed`, async (on) => {
      const exchange = await on.exchange();
      play(exchange.endpoint, exchange.arrived);
      await badGateway(exchange);
    });
  }
});
