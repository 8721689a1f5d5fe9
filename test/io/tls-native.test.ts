import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Pki } from '../support/pki.js';
import { context, converse, End, engine, entry } from './tls-engine.js';

let pki: Pki;
let server: number;
let client: number;

before(async () => {
  pki = await Pki.make();
  server = context({ server: true, certificates: [entry(await pki.leaf({ dns: ['a.test', '*.b.test'] }))] });
  client = context({ anchors: [pki.anchor] });
});

describe('the TLS engine', () => {
  test('shakes hands, carries bytes both ways, ends each direction by itself', () => {
    const near = new End(client, { serverName: 'A.test', expected: 'a.test' });
    const far = new End(server);
    converse(near, far);
    assert.ok(near.done && far.done, `${near.why} ${far.why}`);
    const { group, ...peer } = near.peer;
    assert.match(group, /^(x25519|X25519MLKEM768)$/);
    assert.deepEqual(peer, {
      version: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      alpn: '',
      serverName: 'a.test',
      names: ['a.test', '*.b.test'],
      resumed: false,
    });
    assert.deepEqual(far.peer.names, []);
    assert.equal(far.peer.serverName, 'a.test');
    near.send(Buffer.from('hello')).shutdown();
    converse(near, far);
    assert.equal(far.plain.toString(), 'hello');
    assert.ok(far.ended && !far.failed);
    far.send(Buffer.alloc(100_000, 7)).shutdown();
    converse(near, far);
    assert.equal(near.plain.length, 100_000);
    assert.ok(near.ended && !near.failed);
    near.close();
    far.close();
    assert.match(engine.tlsVersion(), /^OpenSSL 3/);
  });
});
