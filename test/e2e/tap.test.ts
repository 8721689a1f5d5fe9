// Taps: whoever listens is shown what they have asked for, in all four combinations of HTTP versions, of gRPC, and of what is no HTTP.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { GrpcClient, grpcEndpoint } from '../support/grpc.js';
import { exchange } from '../support/http.js';
import { availableExecutors, eventually, startSluice } from '../support/sluice.js';
import { TapClient } from '../support/tap.js';
import { dial } from '../support/tcp.js';
import { inEach, onEachExecutor } from './combinations-support.js';
import { listening } from './lifecycle-support.js';

const PROTOCOL = { 1: 'HTTP/1.1', 2: 'HTTP/2' } as const;

await onEachExecutor('taps', { top: 'tap: { listeners: 2 }' }, (stage, io) => {
  inEach('show a request with its answer, by what is asked for', async (combination) => {
    const cell = stage().cell(combination);
    const path = stage().path();
    const { adminPort } = stage().sluice;
    const all = await TapClient.open(
      adminPort,
      `path=${path}&method=PUT&authority=combinations.test&service=${cell.service}`,
    );
    const failed = await TapClient.open(adminPort, `path=${path}&status=5xx&peer=127.0.0.0/8`);
    const line = await cell.line();
    for (const status of [201, 503]) {
      const call = line.ask({ method: 'PUT', path: `${path}?s=${status}`, body: 5 });
      const arrived = await cell.origin.next(`${path}?s=${status}`);
      call.write('12345');
      call.finish();
      await arrived.whole();
      arrived.respond(status, {}, 'abc');
      await call.answer();
    }
    const other = await cell.exchange({ path: `${path}/other` });
    other[1].respond(500, {}, '');
    await other[0].answer();
    const good = await all.shown('201', ({ status }) => status === 201);
    assert.deepEqual(
      [good.path, good.method, good.service, good.clientProtocol, good.endpointProtocol, good.received, good.sent],
      [`${path}?s=201`, 'PUT', cell.service, PROTOCOL[cell.client], PROTOCOL[cell.endpoint], 5, 3],
    );
    assert.match(String(good.client), /^127\.0\.0\.1:\d+$/);
    assert.ok(Number(good.durationMs) >= Number(good.responseMs));
    await failed.shown('503 and 500', () => failed.records.length === 2);
    assert.deepEqual(failed.records.map(({ status }) => status).sort(), [500, 503]);
    assert.deepEqual(
      all.records.map(({ status }) => status),
      [201, 503],
      'not what was asked for by GET',
    );
    all.close();
    failed.close();
    await eventually(async () => (await stage().sluice.metric('sluice_tap_listeners')) === 0, 'nobody listens');
  });

  it('show nothing of before and after, refuse web pages and whoever finds no place', async () => {
    const cell = stage().cell({ client: 1, endpoint: 1 });
    const { adminPort } = stage().sluice;
    const page = await TapClient.open(adminPort, '', { origin: 'http://evil.example' });
    assert.equal(page.status, 403);
    assert.equal((await TapClient.open(adminPort, 'path=x')).status, 400);
    const early = await cell.exchange({ path: '/early' });
    const tap = await TapClient.open(adminPort);
    early[1].respond(200, {}, '');
    await early[0].answer();
    const [call, arrived] = await cell.exchange({ path: '/late' });
    arrived.respond(200, {}, '');
    await call.answer();
    await tap.shown('/late', ({ path }) => path === '/late');
    assert.equal(tap.records.length, 1, 'what was under way is not known');
    const crowd = await Promise.all(Array.from({ length: 40 }, () => TapClient.open(adminPort)));
    const served = crowd.filter(({ status }) => status === 200);
    assert.equal(served.length, 1);
    assert.deepEqual(new Set(crowd.map(({ status }) => status)), new Set([200, 503]));
    const refused = crowd.find(({ status }) => status === 503);
    assert.match(refused?.refusal ?? '', /tap\.listeners/);
    for (const one of [tap, ...crowd]) one.close();
    await eventually(async () => (await stage().sluice.metric('sluice_tap_listeners')) === 0, 'nobody listens');
    assert.equal(await stage().sluice.metric('sluice_tap_refused_total'), 39);
  });

  it('are limited in rate, and say how many were left out', async () => {
    const cell = stage().cell({ client: 1, endpoint: 1 });
    const { sluice } = stage();
    const before = await sluice.metric('sluice_tap_left_out_total', { reason: 'rate' });
    const tap = await TapClient.open(sluice.adminPort, 'maxRps=1');
    const line = await cell.line();
    for (let i = 0; i < 20; i++) {
      const call = line.ask({ path: `/${io}/${i}` });
      (await cell.origin.next(`/${io}/${i}`)).respond(200, {}, '');
      await call.answer();
    }
    // A slow machine may take seconds for them.
    await eventually(
      async () =>
        tap.records.length + (await sluice.metric('sluice_tap_left_out_total', { reason: 'rate' })) - before === 20,
      'shown or counted',
    );
    assert.ok(tap.records.length < 20);
    assert.ok((await sluice.metric('sluice_tap_records_total')) > 0);
    await tap.until('a report', ({ lines }) => lines.some(({ leftOut }) => Number(leftOut) > 0));
    tap.close();
  });
});

for (const io of await availableExecutors()) {
  describe(`taps of other protocols on ${io}`, () => {
    it('show gRPC with its status, connections with their bytes, and nothing of what is not asked for', async () => {
      const grpc = await grpcEndpoint();
      const echo = createServer((socket) => socket.pipe(socket));
      const sluice = await startSluice(
        'drain: { hold: 0 }\nlisteners:\n  - { name: calls, listen: "127.0.0.1:0", service: calls }\n' +
          '  - { name: raw, listen: "127.0.0.1:0", service: raw, protocol: opaque }\nservices:\n' +
          `  calls: { endpoints: ["${grpc.address}"] }\n  raw: { endpoints: ["127.0.0.1:${await listening(echo)}"] }\n`,
        io,
      );
      const tap = await TapClient.open(sluice.adminPort);
      const onlyHttp = await TapClient.open(sluice.adminPort, 'path=/');
      const client = new GrpcClient(sluice.port('calls'));
      await client.unary(Buffer.from('abc'));
      const call = await tap.shown('the call', ({ message }) => message === 'request');
      assert.deepEqual([call.path, call.grpcStatus, call.method], ['/peers.Peers/Unary', 0, 'POST']);
      const socket = await dial(sluice.port('raw'));
      socket.write('hello');
      await new Promise((resolve) => socket.once('data', resolve));
      socket.destroy();
      const connection = await tap.shown('the connection', ({ message }) => message === 'connection');
      assert.deepEqual(
        [connection.clientProtocol, connection.service, connection.received, connection.sent],
        ['opaque', 'raw', 5, 5],
      );
      await exchange(sluice.port('calls'), 'GET /odd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      await onlyHttp.shown('what nobody serves', ({ clientProtocol }) => clientProtocol === 'HTTP/1.1');
      assert.equal(
        onlyHttp.records.every(({ message }) => message === 'request'),
        true,
      );
      client.close();
      tap.close();
      onlyHttp.close();
      await sluice.stop();
      echo.close();
      await grpc.close();
    });
  });
}
