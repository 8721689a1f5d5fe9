// The first bytes of real clients (and of one server), with the verdict they must get.
// "captured" entries are the beginning of what the named client sent over the wire; the others are spelt out from the
// protocol's text.
import { VERDICT } from '../../src/detect/matcher.js';
import { CLIENT_HELLOS } from './hellos.js';

export interface Sample {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly verdict: number;
  /** Bytes after which the verdict must be there; undefined where only the verdict is of interest. */
  readonly decidedAt?: number;
}

const text = (value: string): Uint8Array => Buffer.from(value, 'latin1');
const hex = (value: string): Uint8Array => Buffer.from(value.replaceAll(' ', ''), 'hex');
const sample =
  (verdict: number) =>
  (name: string, bytes: Uint8Array, decidedAt?: number): Sample =>
    decidedAt === undefined ? { name, bytes, verdict } : { name, bytes, verdict, decidedAt };

const http1 = sample(VERDICT.HTTP1);
const http2 = sample(VERDICT.HTTP2);
const tls = sample(VERDICT.TLS);
const opaque = sample(VERDICT.OPAQUE);
const more = sample(VERDICT.MORE);

/** A request of `method` and `target`; decided at the '.' of its version. */
const request = (method: string, target: string): Sample =>
  http1(
    target.length < 80 ? `${method} ${target}` : `${method} with a target of ${target.length} bytes`,
    text(`${method} ${target} HTTP/1.1\r\nHost: web.example\r\n\r\n`),
    method.length + 1 + target.length + 1 + 'HTTP/1.'.length,
  );

export const HTTP1: readonly Sample[] = [
  request('GET', '/'),
  request('HEAD', '/status?full=1'),
  request('POST', '/orders'),
  request('PUT', '/orders/1'),
  request('PATCH', '/orders/1'),
  request('DELETE', '/orders/1'),
  request('TRACE', '/'),
  request('PROPFIND', '/dav/'),
  request('PROPPATCH', '/dav/'),
  request('PRI', '/'),
  request('PRI', '*'),
  request('PRINT', '/'),
  request('P', '/'),
  request('VERSION-CONTROL', '/dav/x'),
  request('UPDATEREDIRECTREF', '/dav/x'),
  request('M-SEARCH', '*'),
  request('get', '/lower-case-methods-are-tokens'),
  request("!#$%&'*+-.^_`|~09", '/'),
  request('A'.repeat(32), '/'),
  request('OPTIONS', '*'),
  request('CONNECT', 'db.example:5432'),
  request('CONNECT', '[2001:db8::1]:443'),
  request('GET', 'http://web.example/a?b=c'),
  request('GET', 'HTTPS://web.example/'),
  request('GET', '/search?q=%E2%82%AC&x=~!@$*()[]{}|'),
  request('GET', '/caf\u00e9'),
  request('GET', `/${'a'.repeat(200)}`),
  request('GET', `/${'a'.repeat(8191)}`),
  request('ANY', `x${'a'.repeat(8191)}`),
  http1('HTTP/1.0', text('GET / HTTP/1.0\r\n\r\n')),
  http1('HTTP/1 after one empty line', text('\r\nGET / HTTP/1.1\r\n\r\n')),
  http1('HTTP/1 after two empty lines', text('\r\n\r\nPOST / HTTP/1.1\r\n\r\n')),
  http1('a WebSocket upgrade', text('GET /chat HTTP/1.1\r\nHost: web.example\r\nUpgrade: websocket\r\n\r\n')),
  http1('GET with a path past the limit', text(`GET /${'a'.repeat(9000)}`), 4 + 8193),
  http1('POST with an absolute URL past the limit', text(`POST http://${'a'.repeat(9000)}`), 5 + 8193),
  http1(
    'captured: curl',
    hex('474554202f20485454502f312e310d0a486f73743a203132372e302e302e313a32303730300d0a557365722d'),
    13,
  ),
];

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

export const HTTP2: readonly Sample[] = [
  http2('the bare preface', text(PREFACE), 24),
  http2(
    'captured: curl with prior knowledge',
    hex(
      '505249202a20485454502f322e300d0a0d0a534d0d0a0d0a000012040000000000000300000064000402000000000200000000000004' +
        '08000000000001ff0001',
    ),
    24,
  ),
  http2(
    'captured: node:http2',
    hex('505249202a20485454502f322e300d0a0d0a534d0d0a0d0a0000000400000000000000100105000000018482418b089d5c0b8170dc'),
    24,
  ),
];

export const TLS: readonly Sample[] = [
  ...Object.entries(CLIENT_HELLOS).map(([name, value]) => tls(`captured: ${name}`, hex(value), 6)),
  tls('a ClientHello in fragments of 4 bytes', hex('1603010004 01000093'), 6),
  tls('the longest record TLS 1.2 allows', hex('1603034100 01'), 6),
];

export const OPAQUE: readonly Sample[] = [
  opaque(
    'captured: psql, StartupMessage',
    hex('000000360003000075736572006170700064617461626173650073686f70006170706c69636174696f6e5f6e'),
    1,
  ),
  opaque('captured: psql, SSLRequest', hex('0000000804d2162f'), 1),
  opaque('PostgreSQL GSSENCRequest', hex('0000000804d21630'), 1),
  opaque(
    'captured: mysql, HandshakeResponse41',
    hex('ce00000185a2bf000000100021000000000000000000000000000000000000000000000061707000148817c5'),
    1,
  ),
  opaque(
    'captured: mysql, SSLRequest and ClientHello',
    hex('2000000185aabf00000010002100000000000000000000000000000000000000000000001603010200'),
    1,
  ),
  opaque('MySQL HandshakeV10 of a server', hex('4a0000000a382e302e333600 0b000000 6162636465666768 00'), 2),
  opaque('captured: redis-cli PING', hex('2a310d0a24340d0a50494e470d0a'), 3),
  opaque('captured: redis-cli AUTH', hex('2a320d0a24340d0a415554480d0a24360d0a7365637265740d0a'), 3),
  opaque('captured: redis-cli HELLO 3', hex('2a320d0a24350d0a48454c4c4f0d0a24310d0a330d0a'), 3),
  opaque('Redis inline PING', text('PING\r\n'), 5),
  opaque('Redis inline SET', text('SET a b\r\n'), 7),
  opaque('Redis inline GET', text('GET key\r\n'), 8),
  opaque('Redis inline SET whose value begins like a version', text('SET a HTTP/2\r\n'), 12),
  opaque('memcached get', text('get key\r\n'), 8),
  opaque('memcached get of several keys', text('get key1 key2\r\n'), 10),
  opaque('memcached get of a long key', text(`get ${'k'.repeat(250)}\r\n`), 255),
  opaque('memcached set', text('set key 0 900 5\r\nvalue\r\n'), 9),
  opaque('memcached version', text('version\r\n'), 8),
  opaque('memcached binary get', hex('800000030000000000000003000000000000000000000000 6b6579'), 1),
  opaque(
    'MongoDB OP_MSG hello',
    hex('3a00000001000000 00000000 dd070000 00000000 00 2500000010 68656c6c6f00 01000000'),
    1,
  ),
  opaque('MongoDB OP_MSG whose length is a letter', hex('4700000001000000 00000000 dd070000 00000000'), 2),
  opaque('Kafka ApiVersions', hex('00000023 0012 0003 00000000 000a 636f6e73756d65722d31 00'), 1),
  opaque('AMQP 0-9-1', hex('414d5150 00000901'), 5),
  opaque('AMQP 1.0', hex('414d5150 00010000'), 5),
  opaque('AMQP 1.0 SASL', hex('414d5150 03010000'), 5),
  opaque('MQTT 3.1.1 CONNECT', hex('10 10 0004 4d515454 04 02 003c 0004 74657374'), 1),
  opaque('SMTP EHLO', text('EHLO client.example\r\n'), 20),
  opaque('SMTP MAIL', text('MAIL FROM:<a@example>\r\n'), 22),
  opaque('SMTP greeting of a server', text('220 mail.example ESMTP ready\r\n'), 18),
  opaque('IMAP LOGIN', text('a001 LOGIN user secret\r\n'), 12),
  opaque('POP3 USER', text('USER alice\r\n'), 11),
  opaque('FTP USER', text('USER anonymous\r\n'), 15),
  opaque(
    'captured: OpenSSH',
    hex('5353482d322e302d4f70656e5353485f392e3270312044656269616e2d322b64656231327531300d0a'),
    40,
  ),
  opaque('NATS CONNECT', text('CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n'), 43),
  opaque('NATS CONNECT with a space', text('CONNECT {"verbose": false}\r\n'), 21),
  opaque('ZooKeeper ConnectRequest', hex('0000002d 00000000 0000000000000000 00007530 0000000000000000 00000010'), 1),
  opaque('ZooKeeper ruok', text('ruok\n'), 5),
  opaque('LDAP bind', hex('30 0c 02 01 01 60 07 02 01 03 04 00 80 00'), 2),
  opaque('LDAP bind with a long length', hex('30 84 0000000c 020101 6007'), 2),
  opaque('DNS over TCP', hex('001d 1234 0100 0001 0000 0000 0000 03777777 076578616d706c65 00 0001 0001'), 1),
  opaque('Cassandra OPTIONS', hex('04 00 0000 05 00000000'), 1),
  opaque('Thrift framed', hex('0000001e 80010001 00000004 70696e67'), 1),
  opaque('RTSP', text('DESCRIBE rtsp://cam.example/ RTSP/1.0\r\n'), 30),
  opaque('SIP', text('REGISTER sip:example SIP/2.0\r\n'), 22),
  opaque('PROXY protocol version 1', text('PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n'), 12),
  opaque('PROXY protocol version 2', hex('0d0a0d0a000d0a515549540a'), 5),
  opaque('XMPP', text("<?xml version='1.0'?>"), 1),
  opaque('JSON lines', text('{"op":"ping"}\n'), 1),
  opaque('SSLv2 ClientHello', hex('802e 01 0002 0015 0000 0010'), 1),
  opaque('TLS alert', hex('1503010002 0228'), 1),
  opaque('TLS ServerHello', hex('160303007a 02'), 6),
  opaque('a TLS record of a version that does not exist', hex('160305007a 01'), 3),
  opaque('a TLS record that is not version 3', hex('160200007a 01'), 2),
  tls('a TLS record with three octets of a message', hex('1603010003 01'), 6),
  opaque('an empty TLS record', hex('1603010000 01'), 5),
  opaque('a TLS record one byte too long', hex('1603014101 01'), 5),
  opaque('a TLS record far too long', hex('1603014200 01'), 4),
  opaque('TLS after an empty line', hex('0d0a 16'), 3),
  opaque('an HTTP/2 preface after an empty line', text(`\r\n${PREFACE}`), 14),
  opaque('an HTTP/2 preface with a version to come', text('PRI * HTTP/3.0\r\n'), 12),
  opaque('an HTTP/2 preface broken at its last byte', text(`${PREFACE.slice(0, -1)}x`), 24),
  opaque('an HTTP/2 preface broken at its 13th byte', text('PRI * HTTP/2x'), 13),
  opaque('HTTP/0.9', text('GET /\r\n'), 6),
  opaque('two spaces after the method', text('GET  / HTTP/1.1\r\n'), 5),
  opaque('a lower-case version', text('GET / http/1.1\r\n'), 7),
  opaque('an HTTP/1 response', text('HTTP/1.1 200 OK\r\n'), 5),
  opaque('a tab after the method', text('GET\t/'), 4),
  opaque('a method that is too long', text(`${'A'.repeat(33)} / HTTP/1.1\r\n`), 33),
  opaque('an unknown method with a target past the limit', text(`get /${'a'.repeat(9000)}`), 4 + 8193),
  opaque('GET with a key past the limit', text(`GET key${'a'.repeat(9000)}`), 4 + 8193),
  opaque('GET with a target past the limit that only begins like http', text(`GET htt/${'a'.repeat(9000)}`), 4 + 8193),
  opaque('three empty lines', text('\r\n\r\n\r\nGET / HTTP/1.1\r\n'), 5),
  opaque('a bare LF first', text('\nGET / HTTP/1.1\r\n'), 1),
  opaque('a bare CR first', text('\rGET / HTTP/1.1\r\n'), 2),
  opaque('a space first', text(' GET / HTTP/1.1\r\n'), 1),
  opaque('zeros', new Uint8Array(64), 1),
  opaque('0xff', new Uint8Array(64).fill(0xff), 1),
  opaque('noise', hex('9f3c11e07b52c8d4a6'), 1),
];

export const UNDECIDED: readonly Sample[] = [
  more('nothing', new Uint8Array(0)),
  more('the beginning of a method', text('GE')),
  more('a request line without its version', text('GET /index.html')),
  more('a request line up to the dot', text('GET / HTTP/1')),
  more('the preface without its last byte', text(PREFACE.slice(0, -1))),
  more('a TLS record header', hex('1603010093')),
  more('an empty line', text('\r\n')),
];

export const CORPUS: readonly Sample[] = [...HTTP1, ...HTTP2, ...TLS, ...OPAQUE, ...UNDECIDED];
