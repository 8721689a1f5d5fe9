import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CONNECT_PROTOCOL, SCHEME } from '../../src/http/facts.js';
import { MALFORMED, MALFORMED_TEXT } from '../../src/http/malformed.js';
import { checkRequest, checkResponse, checkTrailers } from '../../src/http/message.js';
import { METHOD } from '../../src/http/methods.js';
import { factsOf, GET, type Lines } from '../support/facts.js';

const OK: Lines = [[':status', '200']];

const request = (lines: Lines): number => checkRequest(factsOf(lines));
const response = (lines: Lines): number => checkResponse(factsOf(lines));
const trailers = (lines: Lines): number => checkTrailers(factsOf(lines));
const without = (name: string): Lines => GET.filter((line) => line[0] !== name);
const replaced = (name: string, value: string): Lines => GET.map((line) => (line[0] === name ? [name, value] : line));

describe('fields that belong to a connection (section 8.2.2)', () => {
  it('refuses them in every kind of message', () => {
    for (const name of ['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade']) {
      assert.equal(request([...GET, [name, 'x']]), MALFORMED.CONNECTION_FIELD);
      assert.equal(response([...OK, [name, 'x']]), MALFORMED.CONNECTION_FIELD);
      assert.equal(trailers([[name, 'x']]), MALFORMED.CONNECTION_FIELD);
    }
  });
  it('lets te say trailers and nothing else', () => {
    assert.equal(request([...GET, ['te', 'trailers']]), 0);
    assert.ok(factsOf([...GET, ['te', 'trailers']]).teTrailers);
    assert.equal(request([...GET, ['te', 'gzip']]), MALFORMED.TE);
    assert.equal(request([...GET, ['te', 'trailers, gzip']]), MALFORMED.TE);
    assert.equal(request([...GET, ['te', '']]), MALFORMED.TE);
  });
});

describe('pseudo-header fields (section 8.3)', () => {
  it('refuses one after a regular field', () => {
    assert.equal(request([...without(':path'), ['x', 'y'], [':path', '/']]), MALFORMED.PSEUDO_ORDER);
    assert.equal(
      response([
        ['x', 'y'],
        [':status', '200'],
      ]),
      MALFORMED.PSEUDO_ORDER,
    );
  });
  it('refuses one that is there twice', () => {
    for (const line of GET) assert.equal(request([line, ...GET]), MALFORMED.PSEUDO_DUPLICATE, line[0]);
    assert.equal(response([...OK, ...OK]), MALFORMED.PSEUDO_DUPLICATE);
  });
  it('refuses unknown ones', () => {
    assert.equal(request([...GET, [':foo', 'bar']]), MALFORMED.PSEUDO_UNKNOWN);
    assert.equal(response([...OK, [':reason', 'fine']]), MALFORMED.PSEUDO_UNKNOWN);
  });
  it('refuses those of responses in requests, and the other way round', () => {
    assert.equal(request([...GET, [':status', '200']]), MALFORMED.PSEUDO_FORBIDDEN);
    for (const line of GET) assert.equal(response([...OK, line]), MALFORMED.PSEUDO_FORBIDDEN, line[0]);
  });
  it('refuses all of them in trailers (section 8.1)', () => {
    assert.equal(trailers([['grpc-status', '0']]), 0);
    assert.equal(trailers([]), 0);
    for (const line of [...GET, ...OK]) assert.equal(trailers([line]), MALFORMED.PSEUDO_IN_TRAILERS);
    assert.equal(trailers([[':foo', 'x']]), MALFORMED.PSEUDO_UNKNOWN);
  });
  it('wants :method, :scheme and :path of a request (section 8.3.1)', () => {
    for (const name of [':method', ':scheme', ':path']) {
      assert.equal(request(without(name)), MALFORMED.PSEUDO_MISSING, name);
    }
    assert.equal(request(without(':authority')), 0);
    assert.equal(request([]), MALFORMED.PSEUDO_MISSING);
  });
  it('wants one :status of a response, of three digits (section 8.3.2)', () => {
    assert.equal(response([]), MALFORMED.PSEUDO_MISSING);
    assert.equal(response([['server', 'x']]), MALFORMED.PSEUDO_MISSING);
    for (const status of ['', '20', '2000', 'abc', '099', '+20', '2 0']) {
      assert.equal(response([[':status', status]]), MALFORMED.STATUS, status);
    }
    for (const status of ['100', '200', '404', '599']) {
      assert.equal(response([[':status', status]]), 0);
      assert.equal(factsOf([[':status', status]]).status, Number(status));
    }
  });
  it('knows no 101 (section 8.6)', () => assert.equal(response([[':status', '101']]), MALFORMED.STATUS));
});

describe('request target', () => {
  it('wants a path that begins with / (section 8.3.1)', () => {
    for (const path of ['', 'x', '?q', 'http://example.com/', '/a b', '/a#b', '/\xe9', '*']) {
      assert.equal(request(replaced(':path', path)), MALFORMED.PATH, path);
    }
    assert.equal(request(replaced(':path', '/a?b=c%20d')), 0);
  });
  it('takes * for OPTIONS', () => {
    assert.equal(
      request([
        [':method', 'OPTIONS'],
        [':scheme', 'http'],
        [':path', '*'],
      ]),
      0,
    );
  });
  it('wants a token for :method', () => {
    assert.equal(request(replaced(':method', '')), MALFORMED.METHOD);
    assert.equal(request(replaced(':method', 'GE T')), MALFORMED.METHOD);
    assert.equal(request(replaced(':method', 'BREW')), 0);
    assert.equal(factsOf(replaced(':method', 'BREW')).method, METHOD.OTHER);
  });
  it('wants a scheme for :scheme', () => {
    assert.equal(factsOf(GET).scheme, SCHEME.HTTP);
    assert.equal(factsOf(replaced(':scheme', 'https')).scheme, SCHEME.HTTPS);
    assert.equal(request(replaced(':scheme', 'coap+tcp')), 0);
    for (const scheme of ['', '1x', 'a b', 'http:'])
      assert.equal(request(replaced(':scheme', scheme)), MALFORMED.SCHEME);
  });
  it('refuses userinfo and whatever else is not an authority (section 8.3.1)', () => {
    for (const authority of ['user@example.com', 'user:pw@example.com', 'a b', 'a/b', 'example.com:x', '']) {
      assert.equal(request(replaced(':authority', authority)), MALFORMED.AUTHORITY, authority);
    }
    for (const authority of ['example.com:80', '[::1]:80', '127.0.0.1']) {
      assert.equal(request(replaced(':authority', authority)), 0, authority);
    }
  });
  it('refuses a host that differs from :authority, and several of them', () => {
    assert.equal(request([...GET, ['host', 'example.com']]), 0);
    assert.equal(request([...GET, ['host', 'EXAMPLE.com']]), 0);
    assert.equal(request([...GET, ['host', 'example.org']]), MALFORMED.HOST_DIFFERS);
    assert.equal(request([...without(':authority'), ['host', 'example.org']]), 0);
    assert.equal(request([...GET, ['host', 'example.com'], ['host', 'example.com']]), MALFORMED.HOST);
    assert.equal(request([...without(':authority'), ['host', 'a@b']]), MALFORMED.HOST);
  });
});

describe('CONNECT (section 8.5, RFC 8441 section 4)', () => {
  const CONNECT: Lines = [
    [':method', 'CONNECT'],
    [':authority', 'example.com:443'],
  ];
  const EXTENDED: Lines = [...replaced(':method', 'CONNECT'), [':protocol', 'websocket']];
  it('wants an authority with a port, no scheme and no path', () => {
    assert.equal(request(CONNECT), 0);
    assert.equal(request([[':method', 'CONNECT']]), MALFORMED.CONNECT);
    assert.equal(request([...CONNECT, [':scheme', 'http']]), MALFORMED.CONNECT);
    assert.equal(request([...CONNECT, [':path', '/']]), MALFORMED.CONNECT);
    assert.equal(
      request([
        [':method', 'CONNECT'],
        [':authority', 'example.com'],
      ]),
      MALFORMED.CONNECT,
    );
  });
  it('wants scheme and path with :protocol', () => {
    assert.equal(request(EXTENDED), 0);
    assert.equal(factsOf(EXTENDED).protocol, CONNECT_PROTOCOL.WEBSOCKET);
    for (const name of [':scheme', ':path']) {
      assert.equal(request(EXTENDED.filter((line) => line[0] !== name)), MALFORMED.PSEUDO_MISSING);
    }
  });
  it('refuses :protocol with any other method, and in responses', () => {
    assert.equal(request([...GET, [':protocol', 'websocket']]), MALFORMED.PROTOCOL);
    assert.equal(request([...replaced(':method', 'CONNECT'), [':protocol', '']]), MALFORMED.PROTOCOL);
    assert.equal(response([...OK, [':protocol', 'websocket']]), MALFORMED.PSEUDO_FORBIDDEN);
  });
  it('knows other protocols as such', () => {
    assert.equal(
      factsOf([...replaced(':method', 'CONNECT'), [':protocol', 'connect-udp']]).protocol,
      CONNECT_PROTOCOL.OTHER,
    );
  });
});

describe('MALFORMED', () => {
  it('has a text for every code', () => {
    for (const code of Object.values(MALFORMED)) assert.ok(MALFORMED_TEXT[code].length > 0);
    assert.equal(MALFORMED_TEXT.length, Object.keys(MALFORMED).length + 1);
  });
});
