// What libraries of gRPC do all day is no abuse: a PING for each message, messages of a few octets, calls that end by being cancelled
// once they are answered. And what an endpoint does wrong on one stream, or too much of, is not paid for by those on others.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { END_STREAM, frame } from '../support/h2-frames.js';
import type { H2Peer } from '../support/h2-peer.js';
import { eventually } from '../support/sluice.js';
import { type Bench, type Exchange, onEachExecutor, ROLES } from './http2-conformance-support.js';

const PING = frame('PING', 0, 0, Buffer.alloc(8));
/** A message of gRPC: its length, and two octets. */
const MESSAGE = Buffer.from([0, 0, 0, 0, 2, 7, 7]);
/** More than any limit of ten seconds. */
const MANY = 3000;

/** A call that streams both ways. */
async function call(on: Bench, client?: H2Peer): Promise<Exchange> {
  const exchange = await on.exchange({ body: 'open', ...(client === undefined ? {} : { client }) });
  exchange.endpoint.headers(exchange.arrived, { ':status': '200' });
  await exchange.client.expect('HEADERS', { stream: exchange.asked });
  return exchange;
}

/** Both ends of it, from the side that speaks. */
function sides(role: 'server' | 'client', { client, asked, endpoint, arrived }: Exchange) {
  const server = role === 'server';
  return server
    ? { from: client, id: asked, to: endpoint, there: arrived }
    : { from: endpoint, id: arrived, to: client, there: asked };
}

/** Ends a call in order, which shows that it was not cut. */
async function ends({ client, asked, endpoint, arrived }: Exchange): Promise<void> {
  client.data(asked, '', END_STREAM);
  endpoint.data(arrived, 'end', END_STREAM);
  const { reset } = await client.response(asked);
  assert.equal(reset, null);
}

/** Takes frames of DATA out of what a peer has heard. */
const taken = (peer: H2Peer): number => {
  const data = peer.arrived('DATA').length;
  peer.inbox.frames = peer.inbox.frames.filter(({ type }) => type !== 'DATA');
  return data;
};

await onEachExecutor('HTTP/2 allowances', { limits: null }, (bench) => {
  const declare = (name: string, play: (on: Bench) => Promise<void>): void => {
    it(name, () => bench().play(() => play(bench())));
  };

  for (const role of ROLES) {
    const who = role === 'server' ? 'client' : 'endpoint';

    declare(`a PING for each message that comes, from the ${who}`, async (on) => {
      const exchange = await call(on);
      const other = role === 'server' ? 'client' : 'server';
      // The one that pings is the one that hears: its DATA comes from the other side.
      const { from: speaks, id, to: pings } = sides(other, exchange);
      let heard = 0;
      let answers = 0;
      const { onFrame } = pings;
      pings.onFrame = ({ type, ack }) => {
        if (type === 'DATA') {
          heard++;
          pings.write(PING);
          return true;
        }
        if (type === 'PING' && ack) answers++;
        return type === 'WINDOW_UPDATE' || (type === 'PING' && ack);
      };
      for (let i = 0; i < MANY; i++) {
        await speaks.when(() => speaks.room(id) > 0, 'room');
        speaks.data(id, MESSAGE);
        // Small pieces that wait together leave as they came, but not one at a time where all come at once.
        if (i % 10 === 9) await new Promise((resolve) => setImmediate(resolve));
      }
      await eventually(async () => {
        pings.inbox.wake();
        return heard >= MANY && answers >= heard;
      }, 'all messages are heard and all PINGs answered');
      pings.onFrame = onFrame;
      await ends(exchange);
    });

    declare(`sixty calls with messages of seven octets, from the ${who}`, async (on) => {
      const client = await on.client();
      const calls: Exchange[] = [];
      for (let i = 0; i < 60; i++) calls.push(await call(on, client));
      let heard = 0;
      for (let i = 0; i < 300; i++) {
        for (const exchange of calls) {
          const { from, id } = sides(role, exchange);
          from.data(id, MESSAGE);
        }
        const { to } = sides(role, calls[0] as Exchange);
        await to.sync();
        heard += taken(to);
      }
      const { to } = sides(role, calls[0] as Exchange);
      await eventually(async () => {
        await to.sync();
        heard += taken(to);
        return heard >= 60 * 300 || to.end !== null;
      }, 'all of them are heard');
      for (const exchange of calls) await ends(exchange);
    });
  }

  declare('calls that are cancelled when they are answered leave the others on their connection alone', async (on) => {
    const client = await on.client();
    const stays = await call(on, client);
    for (let i = 0; i < 1500; i++) {
      const watch = await call(on, client);
      client.reset(watch.asked);
      await watch.endpoint.expect('RST_STREAM', { stream: watch.arrived });
    }
    await ends(stays);
    await client.sync();
  });

  declare('responses that break HTTP end their own streams', async (on) => {
    const client = await on.client();
    const stays = await call(on, client);
    for (let i = 0; i < 200; i++) {
      const { asked, endpoint, arrived } = await on.exchange({ client });
      assert.equal(endpoint, stays.endpoint);
      endpoint.headers(arrived, { ':status': '200', 'Upper-Case': 'x' }, END_STREAM);
      assert.equal((await client.response(asked)).status, 502);
    }
    await ends(stays);
  });

  declare('an endpoint that goes too far is left: what it has goes on, the next request goes elsewhere', async (on) => {
    await on.endpoint.quiet();
    const client = await on.client();
    const stays = await call(on, client);
    const fired = (): Promise<number> => on.sluice.metric('sluice_limit_total', { limit: 'h2-control-frames' });
    const before = await fired();
    for (let i = 0; i < 60; i++) {
      await stays.endpoint.written(Buffer.concat(Array.from({ length: 50 }, () => PING)));
      await stays.endpoint.sync();
    }
    await eventually(async () => (await fired()) > before, 'it is counted');
    const next = await call(on, client);
    assert.notEqual(next.endpoint, stays.endpoint);
    // Not a word to it as long as somebody needs it.
    assert.equal(stays.endpoint.arrived('GOAWAY').length, 0);
    for (const exchange of [stays, next]) await ends(exchange);
    await stays.endpoint.expect('GOAWAY');
    await stays.endpoint.closed();
  });
});
