// RFC 9113 section 8 and RFC 8441: requests and responses that are malformed go no further, and those that are not are told whole.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Code, END_STREAM, PADDED, padded } from '../support/h2-frames.js';
import type { Field } from '../support/h2-hpack.js';
import { fieldOf, type H2Peer, REQUEST } from '../support/h2-peer.js';
import { type Bench, type Exchange, onEachExecutor } from './http2-conformance-support.js';

const MALFORMED: Code = 'PROTOCOL_ERROR';

/** The usual request without the fields `without`, and with `more` behind. */
const request = (more: readonly Field[] = [], without: readonly string[] = []): readonly Field[] => [
  ...REQUEST.filter(([name]) => !without.includes(name)),
  ...more,
];
const WEBSOCKET = [
  [':method', 'CONNECT'],
  [':protocol', 'websocket'],
  [':scheme', 'http'],
  [':path', '/ok'],
  [':authority', 'a.test'],
] as const;

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
const FIELDS_WRONG: readonly (readonly [section: string, what: string, field: Field])[] = [
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

const REQUESTS_WRONG: readonly (readonly [section: string, what: string, fields: readonly Field[]])[] = [
  ...FIELDS_WRONG.map(([section, what, field]) => [section, what, request([['x-first', '1'], field])] as const),
  ['8.2.2', 'te of other than trailers', request([['te', 'gzip']])],
  ['8.2.2', 'te of trailers and more', request([['te', 'trailers, deflate']])],
  ['8.3', 'a pseudo-header in upper case', [...request([], [':path']), [':Path', '/ok']]],
  ['8.3', ':status in a request', [...REQUEST, [':status', '200']]],
  ['8.3', 'two of :method', [...REQUEST, [':method', 'GET']]],
  ['8.3', 'two of :scheme', [...REQUEST, [':scheme', 'http']]],
  ['8.3', 'two of :path', [...REQUEST, [':path', '/ok']]],
  ['8.3', 'two of :authority', [...REQUEST, [':authority', 'conformance.test']]],
  [
    '8.3',
    ':authority behind a field',
    request(
      [
        ['x-a', 'b'],
        [':authority', 'a'],
      ],
      [':authority'],
    ),
  ],
  ['8.3.1', 'no :method', request([], [':method'])],
  ['8.3.1', 'no :scheme', request([], [':scheme'])],
  ['8.3.1', 'no :path', request([], [':path'])],
  ['8.3.1', 'no field at all', []],
  ['8.3.1', 'an empty :path', [...request([], [':path']), [':path', '']]],
  ['8.3.1', ':path without a slash', [...request([], [':path']), [':path', 'ok']]],
  ['8.3.1', ':path * but not OPTIONS', [...request([], [':path']), [':path', '*']]],
  ['8.3.1', ':path with a space', [...request([], [':path']), [':path', '/o k HTTP/1.1']]],
  ['8.3.1', ':path with an end of line', [...request([], [':path']), [':path', '/\r\nx: y']]],
  ['8.3.1', ':path with a fragment', [...request([], [':path']), [':path', '/ok#there']]],
  ['8.3.1', 'an empty :method', [...request([], [':method']), [':method', '']]],
  ['8.3.1', ':method that is no token', [...request([], [':method']), [':method', 'GE T']]],
  ['8.3.1', ':method with an end of line', [...request([], [':method']), [':method', 'GET\r\n']]],
  ['8.3.1', ':scheme that is none', [...request([], [':scheme']), [':scheme', 'ht tp']]],
  ['8.3.1', ':authority with userinfo', [...request([], [':authority']), [':authority', 'me@a.test']]],
  ['8.3.1', ':authority with a slash', [...request([], [':authority']), [':authority', 'a.test/x']]],
  ['8.3.1', 'host that differs from :authority', request([['host', 'other.test']])],
  [
    '8.3.1',
    'two hosts',
    request([
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
  ['8.1.1', 'content-length without content', request([['content-length', '5']])],
  ['8.1.1', 'content-length that is no number', request([['content-length', 'abc']])],
  ['8.1.1', 'content-length below 0', request([['content-length', '-1']])],
  ['8.1.1', 'content-length with a sign', request([['content-length', '+0']])],
  ['8.1.1', 'content-length above 2^53', request([['content-length', '99999999999999999999']])],
  [
    '8.1.1',
    'content-lengths that differ',
    request([
      ['content-length', '0'],
      ['content-length', '1'],
    ]),
  ],
  ['8.1.1', 'content-lengths that differ on one line', request([['content-length', '0, 1']])],
];

const REQUESTS_RIGHT: readonly (readonly [section: string, what: string, fields: readonly Field[]])[] = [
  ['8.2.2', 'te: trailers', request([['te', 'trailers']])],
  ['8.2.1', 'an empty value', request([['x-a', '']])],
  ['8.2.1', 'a value with a tab and octets above 127', request([['x-a', 'a\tb \xe4\xff']])],
  ['8.2.1', 'every token character in a name', request([["!#$%&'*+-.^_`|~09az", 'v']])],
  [
    '8.2.3',
    'cookies in pieces',
    request([
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
  ['8.3.1', 'host instead of :authority', request([['host', 'a.test']], [':authority'])],
  ['8.3.1', 'host that is the same as :authority', request([['host', 'conformance.test']])],
  ['8.3', 'pseudo-headers in another order', [...REQUEST].reverse()],
  ['8.3.1', 'a method nobody knows', [...request([], [':method']), [':method', 'M-SEARCH']]],
  ['8.3.1', 'a query', [...request([], [':path']), [':path', '/right?a=b&c=%20#'.replace('#', '')]]],
  ['8.1.1', 'content-length 0 without content', request([['content-length', '0']])],
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

const STATUS_OK: Field = [':status', '200'];
const RESPONSES_WRONG: readonly (readonly [section: string, what: string, fields: readonly Field[], flags?: number])[] =
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

/** Octets of DATA, in however many frames. */
async function says(peer: H2Peer, stream: number, text: string): Promise<void> {
  let said = '';
  while (said.length < text.length) said += (await peer.expect('DATA', { stream })).payload.toString();
  assert.equal(said, text);
}

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

await onEachExecutor('HTTP/2 messages', {}, (bench) => {
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
        path === '/ok' ? fields.map(([name, value]): Field => [name, name === ':path' ? '/right' : value]) : fields;
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

  test('8.1 content, trailers and their order pass both ways', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open', fields: { te: 'trailers' } });
    client.data(asked, 'question');
    client.headers(asked, { 'x-asked': 'yes', 'x-more': '1' }, END_STREAM);
    assert.equal((await endpoint.expect('DATA', { stream: arrived })).payload.toString(), 'question');
    const { fields } = await endpoint.expect('HEADERS', { stream: arrived, endStream: true });
    assert.deepEqual(
      fields.map(({ name }) => name),
      ['x-asked', 'x-more'],
    );
    endpoint.headers(arrived, { ':status': '200' });
    endpoint.data(arrived, 'answer');
    endpoint.headers(arrived, { 'x-answered': 'yes' }, END_STREAM);
    const response = await client.response(asked);
    assert.equal(response.body.toString(), 'answer');
    assert.equal(fieldOf(response.trailers, 'x-answered'), 'yes');
  });

  test('8.1 a response of trailers only', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange();
    endpoint.headers(arrived, { ':status': '200' });
    endpoint.headers(arrived, { 'grpc-status': '0' }, END_STREAM);
    assert.equal(fieldOf((await client.response(asked)).trailers, 'grpc-status'), '0');
  });

  test('8.1 interim responses pass', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange({
      body: 'open',
      fields: { expect: '100-continue' },
    });
    endpoint.headers(arrived, { ':status': '100' });
    endpoint.headers(arrived, { ':status': '103', link: '</a.css>' });
    endpoint.headers(arrived, { ':status': '103', link: '</b.css>' });
    client.data(asked, 'x', END_STREAM);
    endpoint.headers(arrived, { ':status': '200' }, END_STREAM);
    const response = await client.response(asked);
    assert.equal(response.status, 200);
    assert.deepEqual(
      response.interim.filter((status) => status === 103),
      [103, 103],
    );
  });

  test('8.1 a whole response before the end of its request, and RST_STREAM with NO_ERROR', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open' });
    endpoint.headers(arrived, { ':status': '413' });
    endpoint.data(arrived, 'too much', END_STREAM);
    endpoint.reset(arrived, 'NO_ERROR');
    const { status, body, reset } = await client.response(asked);
    assert.equal(reset, null);
    assert.equal(status, 413);
    assert.equal(body.toString(), 'too much');
    client.data(asked, 'still under way');
    assert.equal((await client.response(client.request())).status, 200);
    await endpoint.sync();
  });

  test('8.1 a whole response before the end of its request, which then ends', async (on) => {
    const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open' });
    endpoint.headers(arrived, { ':status': '200' });
    endpoint.data(arrived, 'early', END_STREAM);
    const { status, body } = await client.response(asked);
    assert.equal(status, 200);
    assert.equal(body.toString(), 'early');
    client.data(asked, 'late', END_STREAM);
    await client.sync();
    assert.equal((await client.response(client.request())).status, 200);
  });

  for (const [what, fields, status] of [
    ['HEAD with content-length', { ':method': 'HEAD' }, '200'],
    ['304 with content-length', { ':method': 'GET' }, '304'],
  ] as const) {
    test(`8.1.1 ${what} has no content`, async (on) => {
      const { client, asked, endpoint, arrived } = await on.exchange({ fields });
      endpoint.headers(arrived, { ':status': status, 'content-length': '5' }, END_STREAM);
      const response = await client.response(asked);
      assert.equal(response.status, Number(status));
      assert.equal(response.field('content-length'), '5');
      assert.equal(response.body.length, 0);
    });
  }

  for (const [what, fields, status] of [
    ['HEAD', { ':method': 'HEAD' }, '200'],
    ['204', {}, '204'],
    ['304', { ':method': 'GET' }, '304'],
  ] as const) {
    test(`8.1.1 content in a response that has none (${what}) goes no further`, async (on) => {
      const { client, asked, endpoint, arrived } = await on.exchange({ fields });
      endpoint.headers(arrived, { ':status': status });
      endpoint.data(arrived, 'smuggled', END_STREAM);
      const { body } = await client.response(asked);
      assert.ok(!body.includes('smuggled'));
      await client.sync();
    });
  }

  test('8.2 fields of one name keep their order, and their number', async (on) => {
    const client = await on.client();
    client.headers(
      1,
      request([
        ['x-a', '1'],
        ['x-b', '2'],
        ['x-a', '3'],
      ]).map(([name, value]): Field => [name, name === ':path' ? '/order' : value]),
      END_STREAM,
    );
    const { peer, stream, fields } = await on.endpoint.request('/order');
    assert.deepEqual(
      fields.filter(({ name }) => name === 'x-a').map(({ value }) => value),
      ['1', '3'],
    );
    peer.headers(stream, [STATUS_OK, ['set-cookie', 'a=1'], ['x', 'y'], ['set-cookie', 'b=2']], END_STREAM);
    const response = await client.response(1);
    assert.deepEqual(
      response.fields.filter(({ name }) => name === 'set-cookie').map(({ value }) => value),
      ['a=1', 'b=2'],
    );
  });

  test('8.4 an endpoint is told that nothing may be pushed', async (on) => {
    const { endpoint } = await on.exchange();
    assert.equal(endpoint.theirs.get(2), 0);
  });

  test('8.5 CONNECT becomes a tunnel or is refused, cleanly', async (on) => {
    const client = await on.client();
    client.headers(1, [
      [':method', 'CONNECT'],
      [':authority', 'a.test:80'],
    ]);
    on.endpoint.request(null).then(
      ({ peer, stream }) => {
        peer.headers(stream, { ':status': '200' });
        peer.data(stream, '', END_STREAM);
      },
      () => undefined,
    );
    await client.response(1);
    client.reset(1);
    client.skipTo(3);
    assert.equal((await client.response(client.request())).status, 200);
  });

  test('8.7 a stream that the endpoint refused is tried again, or the client is told', async (on) => {
    const { client, asked, endpoint, arrived, path } = await on.exchange();
    endpoint.reset(arrived, 'REFUSED_STREAM');
    on.endpoint.request(path).then(
      ({ peer, stream }) => peer.headers(stream, { ':status': '200' }, END_STREAM),
      () => undefined,
    );
    const { status, reset } = await client.response(asked);
    assert.ok(status === 200 || status === 503 || reset === 'REFUSED_STREAM', `${status} ${reset}`);
  });

  test('8441-3 a client is told that it may use extended CONNECT', async (on) => {
    const client = await on.client();
    await client.sync();
    assert.equal(client.theirs.get(8), 1);
  });

  test('8441-3 extended CONNECT does not reach an endpoint that has not said it takes it', async (on) => {
    const client = await on.client();
    const before = on.endpoint.requests;
    client.headers(1, WEBSOCKET);
    const response = await client.response(1);
    assert.ok(response.reset !== null || response.status >= 500, `${response.status}`);
    assert.equal(on.endpoint.requests, before);
    client.skipTo(3);
    assert.equal((await client.response(client.request())).status, 200);
  });

  const takesTunnels = (name: string, play: (bench: Bench) => Promise<void>): void => {
    it(name, () =>
      bench().greeting(
        (peer) => void peer.settings({ ENABLE_CONNECT_PROTOCOL: 1 }),
        {},
        () => play(bench()),
      ),
    );
  };
  const webSocket = (path: string): readonly Field[] =>
    WEBSOCKET.map(([name, value]): Field => [name, name === ':path' ? path : value]);

  takesTunnels('8441-5 extended CONNECT to an endpoint that takes it is a tunnel', async (on) => {
    const client = await on.client();
    const path = on.path();
    client.headers(1, [...webSocket(path), ['sec-websocket-version', '13']]);
    const { peer, stream, fields: seen } = await on.endpoint.request(path);
    assert.equal(fieldOf(seen, ':protocol'), 'websocket');
    assert.equal(fieldOf(seen, 'sec-websocket-version'), '13');
    peer.headers(stream, { ':status': '200' });
    await client.expect('HEADERS', { stream: 1, endStream: false });
    for (let i = 0; i < 3; i++) {
      client.data(1, `ping ${i}`);
      await says(peer, stream, `ping ${i}`);
      peer.data(stream, `pong ${i}`);
      await says(client, 1, `pong ${i}`);
    }
    client.data(1, '', END_STREAM);
    await peer.expect('DATA', { stream, endStream: true });
    peer.data(stream, '', END_STREAM);
    await client.expect('DATA', { stream: 1, endStream: true });
  });

  takesTunnels('8441-5 a tunnel that is reset at one end is reset at the other', async (on) => {
    for (const first of ['client', 'endpoint'] as const) {
      const client = await on.client();
      const path = on.path();
      client.headers(1, webSocket(path));
      const { peer, stream } = await on.endpoint.request(path);
      peer.headers(stream, { ':status': '200' });
      await client.expect('HEADERS', { stream: 1 });
      if (first === 'client') {
        client.reset(1, 'CANCEL');
        await peer.expect('RST_STREAM', { stream });
      } else {
        peer.reset(stream, 'CANCEL');
        await client.expect('RST_STREAM', { stream: 1 });
      }
    }
  });

  test('afterwards serves others', (on) => on.serves());
});
