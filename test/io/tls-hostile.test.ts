// What a peer may send that no honest one does: each is bounded, and answered with the alert that says so.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { type Certified, Pki } from '../support/pki.js';
import { context, converse, End, engine, entry, memory } from './tls-engine.js';
import { nodeClient, nodeServer } from './tls-node-peer.js';
import { CONTENT, plainRecord, Sealer } from './tls-records.js';

let pki: Pki;
let leaf: Certified;
let server: number;
let client: number;
let hello: Buffer;

before(async () => {
  pki = await Pki.make();
  leaf = await pki.leaf({ dns: ['a.test'] });
  server = context({ server: true, certificates: [entry(leaf)], minVersion: 0x0303 });
  client = context({ anchors: [pki.anchor] });
  hello = new End(client, { serverName: 'a.test' }).receive().wire();
});

const ALERT = {
  UNEXPECTED_MESSAGE: 10,
  BAD_RECORD_MAC: 20,
  RECORD_OVERFLOW: 22,
  ILLEGAL_PARAMETER: 47,
  DECODE_ERROR: 50,
};
const SENT = 256;

/** A ClientHello whose shares are of groups that nobody has: the server asks for another. */
function askingAgain(): Buffer {
  const bytes = Buffer.from(hello);
  // Behind the session id, ciphers and compression methods come the extensions.
  let at = 5 + 4 + 34;
  at += 1 + bytes[at];
  at += 2 + bytes.readUInt16BE(at);
  at += 1 + bytes[at] + 2;
  const extension = (wanted: number): number => {
    let place = at;
    while (bytes.readUInt16BE(place) !== wanted) place += 4 + bytes.readUInt16BE(place + 2);
    return place + 4;
  };
  // A share of a group that is not in the list of groups would be an error: both are changed.
  const groups = extension(10);
  const shares = extension(51);
  for (
    let share = shares + 2;
    share < shares + bytes.readUInt16BE(shares - 2);
    share += 4 + bytes.readUInt16BE(share + 2)
  ) {
    for (let place = groups + 2; place < groups + bytes.readUInt16BE(groups - 2); place += 2) {
      if (bytes.readUInt16BE(place) === bytes.readUInt16BE(share)) bytes.writeUInt16BE(0x0a0a, place);
    }
    bytes.writeUInt16BE(0x0a0a, share);
  }
  return bytes;
}

/** An end whose handshake with Node.js is done, and the hand that now writes in the place of Node.js. */
async function afterHandshake(role: 'server' | 'client'): Promise<{ end: End; hand: Sealer }> {
  const end = new End(role === 'server' ? server : client, { expected: role === 'server' ? null : 'a.test' });
  const peer =
    role === 'server'
      ? await nodeClient(end, { ca: pki.anchor, servername: 'a.test' })
      : await nodeServer(end, { cert: leaf.chain, key: leaf.key, ciphers: 'TLS_AES_128_GCM_SHA256' });
  assert.ok(end.done, end.why);
  const secret = peer.secrets.get(role === 'server' ? 'CLIENT_TRAFFIC_SECRET_0' : 'SERVER_TRAFFIC_SECRET_0');
  assert.ok(secret);
  const hand = new Sealer(secret);
  // Two tickets have gone by: Node.js sends them with its first two records.
  if (role === 'client') for (let i = 0; i < Number(process.env.TK ?? 2); i++) hand.payload('');
  end.wire();
  return { end, hand };
}

describe('before there is a connection', () => {
  test('what is no TLS is refused', () => {
    for (const [bytes, why] of [
      ['GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'http request'],
      ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', ''],
      ['SSH-2.0-OpenSSH_9.2\r\n', ''],
      ['\x00\x00\x00\x00\x00\x00\x00\x00\x00', ''],
      [`\x80\x2e\x01\x00\x02\x00\x15\x00\x00${'\x00'.repeat(40)}`, ''],
    ]) {
      const end = new End(server).receive(Buffer.from(bytes, 'latin1'));
      assert.ok(end.failed, bytes);
      assert.notEqual(end.why, '');
      if (why !== '') assert.equal(end.why, why);
    }
    for (let round = 0; round < 200; round++) new End(server).receive(randomBytes(1 + round * 7)).close();
  });

  test('a ClientHello that announces more than any needs costs nothing', () => {
    for (const announced of [30_000, 131_000, 0xffffff]) {
      const head = Buffer.from([1, announced >> 16, (announced >> 8) & 255, announced & 255]);
      const record = plainRecord(CONTENT.HANDSHAKE, Buffer.concat([head, Buffer.alloc(16_000)]));
      for (const size of [1, 7, 20_000]) {
        const end = new End(server);
        const bytes = record.subarray(0, 9);
        for (let at = 0; at < bytes.length; at += size) end.receive(bytes.subarray(at, at + size));
        assert.equal(end.why, 'client hello too large');
        assert.equal(end.alert, SENT + ALERT.ILLEGAL_PARAMETER);
        assert.deepEqual([...end.wire().subarray(-2)], [2, ALERT.ILLEGAL_PARAMETER]);
        end.close();
      }
    }
  });

  test('how large a ClientHello may be is an option, however small its records are', () => {
    const announce = (octets: number): Buffer =>
      plainRecord(
        CONTENT.HANDSHAKE,
        Buffer.concat([Buffer.from([1, 0, octets >> 8, octets & 255]), Buffer.alloc(100)]),
      );
    const options = { server: true, certificates: [entry(leaf)] };
    const small = context({ ...options, maxHello: 4096 });
    const large = context({ ...options, maxHello: 60_000 });
    for (const [bound, octets, refused] of [
      [small, 4092, false],
      [small, 4093, true],
      [large, 59_996, false],
      [large, 59_997, true],
    ] as const) {
      const end = new End(bound).receive(announce(octets));
      assert.equal(end.why, refused ? 'client hello too large' : '', String(octets));
      end.close();
    }
    // Twice its size in records of an octet each is no hello any more.
    const end = new End(large).receive(announce(59_000));
    const tiny = Buffer.concat(Array.from({ length: 1000 }, () => plainRecord(CONTENT.HANDSHAKE, Buffer.from([0]))));
    for (let sent = 0; sent < 120_000 && !end.failed; sent += tiny.length) end.receive(tiny);
    assert.equal(end.why, 'client hello too large');
    end.close();
    for (const bound of [small, large]) engine.tlsContextFree(bound);
  });

  test('how long a chain may be is an option', async () => {
    const long = await pki.leaf({ dns: Array.from({ length: 400 }, (_, at) => `name-${at}.a.test`) });
    for (const [maxChain, good] of [
      [4096, false],
      [65_536, true],
    ] as const) {
      const listening = context({ server: true, certificates: [entry(long)] });
      const dialling = context({ anchors: [pki.anchor], maxChain });
      const [one, other] = [new End(dialling, { expected: 'name-7.a.test' }), new End(listening)];
      converse(one, other);
      assert.equal(one.done, good, one.why);
      if (!good) assert.match(one.why, /excessive message size/);
      for (const bound of [listening, dialling]) engine.tlsContextFree(bound);
    }
  });

  test('the second ClientHello may be no larger', () => {
    const end = new End(server).receive(askingAgain());
    const retry = end.wire();
    // A HelloRetryRequest: a ServerHello with this random (RFC 8446 4.1.3).
    assert.ok(!end.failed, end.why);
    assert.ok(retry.includes(Buffer.from('cf21ad74e59a6111be1d8c021e65b891', 'hex')));
    end.receive(plainRecord(CONTENT.CHANGE_CIPHER_SPEC, Buffer.from([1])));
    assert.ok(!end.failed, end.why);
    end.receive(
      plainRecord(CONTENT.HANDSHAKE, Buffer.concat([Buffer.from([1, 2, 0, 0]), Buffer.alloc(9000)])).subarray(0, 9),
    );
    assert.equal(end.why, 'client hello too large');
  });

  test('a ClientHello in any number of pieces, and in any number of records', () => {
    const body = hello.subarray(5);
    for (const size of [1, 2, 3, 50, 1000]) {
      const records: Buffer[] = [];
      for (let at = 0; at < body.length; at += size)
        records.push(plainRecord(CONTENT.HANDSHAKE, body.subarray(at, at + size)));
      for (const bytes of [Buffer.concat(records), hello]) {
        const end = new End(server);
        for (let at = 0; at < bytes.length; at += 13) {
          assert.equal(end.wire().length, 0);
          end.receive(bytes.subarray(at, at + 13));
        }
        assert.ok(!end.failed, end.why);
        assert.ok(end.wire().length > 500);
        end.close();
      }
    }
  });

  test('an empty record of a handshake is refused', () => {
    const end = new End(server).receive(plainRecord(CONTENT.HANDSHAKE, Buffer.alloc(0)));
    assert.equal(end.alert, SENT + ALERT.UNEXPECTED_MESSAGE);
    assert.equal(end.why, 'empty handshake record');
  });

  test('an alert in the place of a ClientHello ends it', () => {
    for (const level of [1, 2]) {
      const end = new End(server).receive(plainRecord(CONTENT.ALERT, Buffer.from([level, 90])));
      assert.ok(end.failed);
    }
    // In the middle of the handshake too: the client that refuses our certificate.
    const near = new End(context({ anchors: [pki.anchor] }), { expected: 'b.test' });
    const far = new End(server);
    converse(near, far);
    assert.ok(near.failed && far.failed);
    assert.equal(near.alert, SENT + 42);
    assert.equal(far.alert, 42);
    const other = new End(server).receive(hello);
    other.receive(plainRecord(CONTENT.ALERT, Buffer.from([2, 40])));
    assert.equal(other.alert, 40);
  });

  test('truncated at each byte of the handshake, nothing has happened', () => {
    for (let length = 0; length < hello.length; length += 1) {
      const end = new End(server).receive(hello.subarray(0, length));
      assert.equal(end.status, 0);
      assert.equal(end.wire().length, 0);
      end.close();
    }
    const near = new End(client, { serverName: 'a.test' });
    const far = new End(server).receive(near.receive().wire());
    const flight = far.wire();
    for (let length = 0; length < flight.length; length += 11) {
      const cut = new End(client).receive();
      cut.wire();
      cut.receive(flight.subarray(0, length));
      assert.ok(!cut.done);
      cut.close();
    }
  });
});

describe('behind the handshake', () => {
  for (const role of ['server', 'client'] as const) {
    test(`KeyUpdates without end are the end of the ${role}'s connection; with payload between them they are not`, async () => {
      for (const requested of [false, true]) {
        const { end, hand } = await afterHandshake(role);
        end.receive(
          Buffer.concat([hand.keyUpdate(requested), hand.payload('one'), hand.keyUpdate(), hand.payload('two')]),
        );
        assert.equal(end.plain.toString(), 'onetwo', end.why);
        let count = 0;
        while (!end.failed && count < 1000) {
          end.receive(hand.keyUpdate(requested));
          count++;
        }
        assert.ok(count >= 25 && count <= 33, `${count}`);
        assert.equal(end.why, 'too many messages without payload');
        assert.ok(end.wire().length < 4096);
      }
      const { end, hand } = await afterHandshake(role);
      for (let i = 0; i < 200; i++) {
        end.receive(hand.record(CONTENT.PAYLOAD, Buffer.alloc(16384)));
        end.receive(hand.keyUpdate());
      }
      assert.ok(!end.failed, end.why);
      assert.equal(end.plain.length, 200 * 16384);
    });
  }

  test('many KeyUpdates in one read end it as soon', async () => {
    const { end, hand } = await afterHandshake('server');
    end.receive(Buffer.concat(Array.from({ length: 5000 }, () => hand.keyUpdate())));
    assert.equal(end.why, 'too many messages without payload');
  });

  test('empty records are bounded, warnings are refused', async () => {
    const { end, hand } = await afterHandshake('server');
    end.receive(Buffer.concat([hand.payload(''), hand.payload(''), hand.payload('x')]));
    assert.equal(end.plain.toString(), 'x');
    let count = 0;
    while (!end.failed && count < 1000) {
      end.receive(hand.payload(''));
      count++;
    }
    assert.ok(count <= 40, `${count}`);
    const other = await afterHandshake('server');
    for (count = 0; !other.end.failed && count < 1000; count++) other.end.receive(other.hand.alert(1, 90));
    assert.ok(count <= 33, `${count}`);
  });

  test('a record of 16 KiB passes, padded too; one with an octet more does not', async () => {
    const { end, hand } = await afterHandshake('server');
    end.receive(hand.record(CONTENT.PAYLOAD, Buffer.alloc(16384, 1)));
    end.receive(hand.record(CONTENT.PAYLOAD, Buffer.alloc(100, 1), 16284));
    assert.equal(end.plain.length, 16484);
    end.receive(hand.record(CONTENT.PAYLOAD, Buffer.alloc(16385, 1)));
    assert.ok(end.failed);
    assert.equal(end.alert, SENT + ALERT.RECORD_OVERFLOW);
    assert.equal(end.plain.length, 16484);
    const padded = await afterHandshake('server');
    padded.end.receive(padded.hand.record(CONTENT.PAYLOAD, Buffer.alloc(1), 16384));
    assert.equal(padded.end.alert, SENT + ALERT.RECORD_OVERFLOW);
  });

  test('octets that were changed end it, with an alert', async () => {
    const { end, hand } = await afterHandshake('server');
    const record = hand.payload('hello');
    record[7] ^= 1;
    end.receive(record);
    assert.equal(end.alert, SENT + ALERT.BAD_RECORD_MAC);
    assert.equal(end.plain.length, 0);
    assert.ok(end.wire().length > 0);
  });

  test('messages of the handshake that have no place there', async () => {
    const message = (type: number, ...body: number[]) =>
      Buffer.from([type, 0, body.length >> 8, body.length & 255, ...body]);
    const ticket = Array.from({ length: 200 }, (_, index) => index);
    for (const [role, bytes, alert] of [
      ['server', message(1, 0), ALERT.UNEXPECTED_MESSAGE],
      ['server', message(4, ...ticket), ALERT.UNEXPECTED_MESSAGE],
      ['server', message(13, 0), ALERT.UNEXPECTED_MESSAGE],
      ['server', message(24, 2), ALERT.ILLEGAL_PARAMETER],
      ['server', message(24, 0, 0), ALERT.DECODE_ERROR],
      ['server', message(24), ALERT.DECODE_ERROR],
      // A key ends its record.
      ['server', Buffer.concat([message(24, 0), message(24, 0)]), ALERT.UNEXPECTED_MESSAGE],
      ['client', Buffer.from([4, 255, 255, 255]), ALERT.DECODE_ERROR],
      ['client', message(20, 0), ALERT.UNEXPECTED_MESSAGE],
    ] as const) {
      const { end, hand } = await afterHandshake(role);
      end.receive(hand.record(CONTENT.HANDSHAKE, bytes));
      assert.equal(end.alert, SENT + alert, bytes.toString('hex'));
    }
    for (const [type, bytes, alert] of [
      [CONTENT.HANDSHAKE, Buffer.alloc(0), ALERT.UNEXPECTED_MESSAGE],
      [CONTENT.CHANGE_CIPHER_SPEC, Buffer.from([1]), ALERT.UNEXPECTED_MESSAGE],
      [CONTENT.ALERT, Buffer.from([1]), ALERT.DECODE_ERROR],
      [CONTENT.ALERT, Buffer.from([1, 0, 1, 0]), ALERT.DECODE_ERROR],
      [0, Buffer.alloc(5), ALERT.UNEXPECTED_MESSAGE],
    ] as const) {
      const { end, hand } = await afterHandshake('server');
      end.receive(hand.record(type, bytes));
      assert.equal(end.alert, SENT + alert, `${type}`);
    }
    // In pieces they are good, with nothing else between.
    const { end, hand } = await afterHandshake('client');
    const both = Buffer.concat([message(4, ...ticket), message(4, ...ticket)]);
    for (let at = 0; at < both.length; at += 3) end.receive(hand.record(CONTENT.HANDSHAKE, both.subarray(at, at + 3)));
    end.receive(hand.payload('x'));
    assert.equal(end.plain.toString(), 'x');
    end.receive(hand.record(CONTENT.HANDSHAKE, Buffer.from([4, 0])));
    end.receive(hand.payload('y'));
    assert.equal(end.alert, SENT + ALERT.UNEXPECTED_MESSAGE);
    assert.equal(end.plain.toString(), 'x');
  });

  test('an alert of the peer ends it, with its name', async () => {
    const { end, hand } = await afterHandshake('client');
    end.receive(hand.payload('before'));
    end.receive(hand.alert(2, 48));
    assert.equal(end.plain.toString(), 'before');
    assert.equal(end.alert, 48);
    assert.match(end.why, /unknown ca/);
    assert.equal(end.wire().length, 0);
  });

  test('what follows close_notify does not count', async () => {
    const { end, hand } = await afterHandshake('server');
    end.receive(
      Buffer.concat([hand.payload('last'), hand.alert(1, 0), hand.payload('too late'), Buffer.from('garbage')]),
    );
    assert.equal(end.plain.toString(), 'last');
    assert.ok(end.ended && !end.failed);
    end.receive(Buffer.from('more'));
    assert.ok(!end.failed);
    end.send(Buffer.from('still'));
    assert.ok(end.wire().length > 0);
  });

  test('plain text behind the handshake is refused', async () => {
    const { end } = await afterHandshake('server');
    end.receive(plainRecord(CONTENT.PAYLOAD, Buffer.from('in the clear')));
    assert.ok(end.failed);
    const other = await afterHandshake('server');
    other.end.receive(plainRecord(CONTENT.HANDSHAKE, hello.subarray(5)));
    assert.ok(other.end.failed);
    assert.equal(other.end.alert, SENT + ALERT.UNEXPECTED_MESSAGE);
  });
});

test('places outside of the slab are refused, and so are numbers that mean nothing', () => {
  const end = memory().length;
  const near = new End(client);
  assert.throws(() => engine.tlsReceive(near.connection, end, 1, 0, 10, 10, 10), RangeError);
  assert.throws(() => engine.tlsReceive(near.connection, 0, 0, end - 9, 10, 10, 10), RangeError);
  assert.throws(() => engine.tlsSend(near.connection, 0, 1, 0, end + 1), RangeError);
  const page = engine.tlsPage();
  assert.equal(engine.tlsReceive(1_000_000, 0, 0, 0, 10, 10, 10), 8);
  assert.equal(engine.tlsReason(page[3]), 'no such connection');
  assert.equal(engine.tlsOpen(0, null, null), -9);
  assert.equal(engine.tlsOpen(99, null, null), -9);
  engine.tlsClose(1_000_000);
  engine.tlsContextFree(0);
  engine.tlsContextFree(99);
  near.close();
  near.close();
  assert.equal(engine.tlsPeer(near.connection).version, '');
  converse(new End(client, { expected: 'a.test' }), new End(server));
});
