// Cases (see combinations-cases.ts) in which what the endpoint says reaches the client.
import assert from 'node:assert/strict';
import { type Case, posted, SERVED } from './combinations-cases.js';
import { lose } from './combinations-legs.js';

export const PASSED: readonly Case[] = [
  {
    what: 'a response with a length',
    play: async (cell, base) => {
      const [call, arrived] = await cell.exchange(base);
      arrived.respond(200, {}, 'hello');
      return await call.answer();
    },
    status: 200,
    body: 'hello',
    counts: SERVED,
  },
  {
    what: 'a response without',
    play: async (cell, base) => {
      const [call, arrived] = await cell.exchange(base);
      arrived.begin(200);
      arrived.write('hel');
      await call.seen('hel');
      arrived.write('lo');
      arrived.finish();
      return await call.answer();
    },
    status: 200,
    body: 'hello',
    counts: SERVED,
  },
  ...([4, 'chunked'] as const).map(
    (body): Case => ({
      what: `a request whose length is ${body === 4 ? 'known' : 'not known'}, as it is`,
      play: async (cell, base) => {
        const [call, arrived] = await cell.exchange({ ...base, method: 'POST', body });
        call.write('body');
        call.finish();
        assert.equal((await arrived.whole()).body, 'body');
        assert.equal(arrived.field('content-length'), body === 4 ? '4' : null);
        arrived.respond(200, {}, 'ok');
        const answer = await call.answer();
        assert.equal(answer.field('content-length'), cell.endpoint === 1 ? '2' : null);
        return answer;
      },
      status: 200,
      body: 'ok',
      counts: SERVED,
    }),
  ),
  {
    what: 'bodies with nothing in them',
    play: async (cell, base) => {
      const [call, arrived] = await cell.exchange({ ...base, method: 'POST', body: 'chunked' });
      call.finish();
      assert.equal((await arrived.whole()).body, '');
      arrived.begin(200);
      arrived.finish();
      return await call.answer();
    },
    status: 200,
    body: '',
    counts: SERVED,
  },
  {
    what: 'a response that begins before its request has ended, while both go on',
    play: async (cell, base) => {
      const [call, arrived] = await cell.exchange({ ...base, method: 'POST', body: 'chunked' });
      call.write('one, ');
      arrived.begin(200);
      arrived.write('first, ');
      await call.seen('first, ');
      call.write('two');
      call.finish();
      assert.equal((await arrived.whole()).body, 'one, two');
      arrived.write('second');
      arrived.finish();
      return await call.answer();
    },
    status: 200,
    body: 'first, second',
    counts: SERVED,
  },
  {
    what: 'HEAD, whose content-length is that of a GET',
    play: async (cell, base) => {
      const [call, arrived] = await cell.exchange({ ...base, method: 'HEAD' });
      arrived.respond(200, { 'content-length': '1000' });
      const answer = await call.answer();
      assert.equal(answer.field('content-length'), '1000');
      return answer;
    },
    status: 200,
    body: '',
    counts: SERVED,
  },
  ...[204, 304, 404, 500].map(
    (status): Case => ({
      what: `a response with status ${status}`,
      play: async (cell, base) => {
        const [call, arrived] = await cell.exchange(base);
        arrived.respond(status, { 'x-own': 'yes' });
        const answer = await call.answer();
        assert.equal(answer.field('x-own'), 'yes');
        return answer;
      },
      status,
      body: '',
      counts: SERVED,
    }),
  ),
  {
    what: 'interim responses, before the final one',
    play: async (cell, base) => {
      const [call, arrived] = await cell.exchange(base);
      arrived.interim(103, { link: '</a.css>' });
      arrived.interim(102);
      arrived.respond(200, {}, 'ok');
      const answer = await call.answer();
      assert.deepEqual(answer.interim, [103, 102]);
      return answer;
    },
    status: 200,
    body: 'ok',
    counts: SERVED,
  },
  {
    what: 'trailers, both ways',
    play: async (cell, base) => {
      const fields = { te: 'trailers', trailer: 'x-sum' };
      const [call, arrived] = await cell.exchange({ ...base, method: 'POST', body: 'chunked', fields });
      call.write('body');
      call.finish({ 'x-sum': '1' });
      const { body, trailers } = await arrived.whole();
      assert.deepEqual([body, trailers.get('x-sum')], ['body', '1']);
      arrived.begin(200, { trailer: 'x-sum' });
      arrived.write('back');
      arrived.finish({ 'x-sum': '2' });
      const answer = await call.answer();
      assert.equal(answer.trailers.get('x-sum'), '2');
      return answer;
    },
    status: 200,
    body: 'back',
    counts: SERVED,
  },
  {
    what: 'Expect: 100-continue, which waits for the endpoint',
    play: async (cell, base) => {
      const [call, arrived] = await cell.exchange({ ...posted(base), fields: { expect: '100-continue' } });
      assert.equal(arrived.field('expect'), '100-continue');
      arrived.interim(100);
      assert.equal(await call.interim(), 100);
      call.write('body');
      call.finish();
      assert.equal((await arrived.whole()).body, 'body');
      arrived.respond(200, {}, 'ok');
      return await call.answer();
    },
    status: 200,
    body: 'ok',
    counts: SERVED,
  },
  {
    what: 'Expect: 100-continue, which the endpoint turns down',
    play: async (cell, base) => {
      const [call, arrived] = await cell.exchange({ ...posted(base), fields: { expect: '100-continue' } });
      arrived.respond(401, {}, 'who?');
      return await call.answer();
    },
    status: 401,
    body: 'who?',
    counts: SERVED,
  },
  {
    what: 'an answer to an upload that has not ended, which the endpoint is told to forget',
    play: async (cell, base) => {
      const [call, arrived] = await cell.exchange({ ...base, method: 'POST', body: 'chunked' });
      call.write('some of it');
      arrived.respond(413, {}, 'enough');
      const answer = await call.answer();
      await arrived.gone();
      return answer;
    },
    status: 413,
    body: 'enough',
    counts: SERVED,
  },
  {
    what: 'an answer to an upload that has not ended, whose endpoint then ends the connection',
    play: async (cell, base) => {
      const [call, arrived] = await cell.exchange({ ...base, method: 'POST', body: 'chunked' });
      call.write('some of it');
      arrived.respond(413, {}, 'enough');
      await lose(arrived.connection, 'fin');
      return await call.answer();
    },
    status: 413,
    body: 'enough',
    counts: SERVED,
  },
  ...(['CONNECT', 'WebSocket'] as const).map(
    (tunnel): Case => ({
      what: `a ${tunnel} that the endpoint turns down`,
      play: async (cell, base) => {
        const [call, arrived] = await cell.exchange({ ...base, tunnel });
        arrived.respond(403, {}, 'no');
        return await call.answer();
      },
      status: 403,
      body: 'no',
      counts: SERVED,
      unread: tunnel === 'CONNECT',
    }),
  ),
];
