// The client against a server that does everything wrong: clear errors, bounded in time and size, and no harm to the next call.
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { podAccess, TokenFile } from '../../src/kubernetes/access.js';
import { ApiClient, type ClientLimits, type WatchSink } from '../../src/kubernetes/client.js';
import { ApiProblem } from '../../src/kubernetes/problem.js';
import type { WatchEvent } from '../../src/kubernetes/watch-event.js';
import { answer, FaultyApi, refuse } from '../support/faulty-api.js';
import { eventually } from '../support/sluice.js';
import { Waiting } from '../support/waiting.js';
import { Road } from './road.js';

const PATH = '/api/v1/namespaces/shop/pods';

const problemOf = async (call: Promise<unknown>): Promise<ApiProblem> => {
  const result = await call.then(
    () => assert.fail('it worked'),
    (error: unknown) => error,
  );
  assert.ok(result instanceof ApiProblem, String(result));
  return result;
};

class Heard implements WatchSink {
  readonly events: WatchEvent[] = [];
  readonly waiting = new Waiting();
  open = 0;

  opened(): void {
    this.open++;
    this.waiting.wake();
  }

  event(event: WatchEvent): void {
    this.events.push(event);
    this.waiting.wake();
  }

  until(count: number): Promise<void> {
    return this.waiting.until(
      () => this.events.length >= count,
      () => `event ${count}`,
    );
  }
}

const line = (type: string, version: string): string =>
  `${JSON.stringify({ type, object: { metadata: { name: 'web', resourceVersion: version } } })}\n`;

for (const protocol of ['h2', 'http/1.1'] as const) {
  describe(`the client of the Kubernetes API over ${protocol}`, () => {
    let api: FaultyApi;
    let client: ApiClient;
    const others: ApiClient[] = [];
    const limited = (limits: Partial<ClientLimits>): ApiClient => {
      const made = new ApiClient(api.access, limits);
      others.push(made);
      return made;
    };

    before(async () => {
      api = await FaultyApi.start(protocol);
      client = new ApiClient(api.access);
    });
    after(async () => {
      client.close();
      for (const other of others) other.close();
      await api.stop();
    });

    it('sends what each call means', async () => {
      api.script = (asked) =>
        answer(asked, { kind: 'Pod', items: [], metadata: { resourceVersion: '7', continue: 'x' } });
      const { asked } = api;
      asked.length = 0;
      await client.get(`${PATH}/web`);
      await client.create(PATH, { a: 1 });
      await client.replace(`${PATH}/web`, { a: 2 });
      await client.patch(`${PATH}/web`, { a: 3 }, 'merge', { fieldManager: 'sluice' });
      await client.patch(`${PATH}/web`, [{ op: 'remove', path: '/a' }], 'json');
      await client.delete(`${PATH}/web`);
      assert.deepEqual(await client.list(PATH, { limit: 2, continue: undefined }), {
        items: [],
        version: '7',
        next: 'x',
      });
      const calls = asked.map(({ method, path, query, type, body }) =>
        [method, path, String(query), type, body].join(' '),
      );
      assert.deepEqual(calls, [
        `GET ${PATH}/web   `,
        `POST ${PATH}  application/json {"a":1}`,
        `PUT ${PATH}/web  application/json {"a":2}`,
        `PATCH ${PATH}/web fieldManager=sluice application/merge-patch+json {"a":3}`,
        `PATCH ${PATH}/web  application/json-patch+json [{"op":"remove","path":"/a"}]`,
        `DELETE ${PATH}/web   `,
        `GET ${PATH} limit=2  `,
      ]);
      assert.ok(asked.every(({ token }) => token === 'a-token'));
      assert.equal(client.protocol, protocol);
    });

    it('says method, path, status, the message of the Status and when to come again', async () => {
      api.script = (asked) => refuse(asked, 403, 'Forbidden', 'pods is forbidden:\nno');
      const forbidden = await problemOf(client.get(PATH));
      assert.equal(forbidden.message, `GET ${PATH}: status 403 (pods is forbidden: no)`);
      assert.deepEqual([forbidden.status, forbidden.reason, forbidden.failure], [403, 'Forbidden', 'status']);
      api.script = (asked) => refuse(asked, 429, 'TooManyRequests', 'slow down', { 'retry-after': '7' });
      assert.equal((await problemOf(client.create(PATH, {}))).retryAfterMs, 7000);
      api.script = (asked) => answer(asked, '<html>Bad\u0007 gateway</html>', 502);
      assert.equal((await problemOf(client.get(PATH))).message, `GET ${PATH}: status 502 (<html>Bad gateway</html>)`);
    });

    it('refuses garbage, what is too large, half answers and none', async () => {
      const small = limited({ maxAnswerBytes: 1000, maxPageBytes: 1000 });
      const hasty = limited({ callMs: 300 });
      api.script = (asked) => answer(asked, '{"kind":');
      assert.equal((await problemOf(small.get(PATH))).message, `GET ${PATH}: an answer that is not valid JSON`);
      api.script = (asked) => answer(asked, { kind: 'Pod' });
      assert.equal((await problemOf(small.list(PATH))).message, `GET ${PATH}: an answer that is not a list`);
      api.script = (asked) => answer(asked, { text: 'x'.repeat(100_000) });
      assert.equal((await problemOf(small.get(PATH))).message, `GET ${PATH}: an answer of more than 1000 bytes`);
      api.script = () => undefined;
      assert.equal((await problemOf(hasty.get(PATH))).message, `GET ${PATH}: no whole answer within 300 ms`);
      api.script = ({ response }) => response.writeHead(200).write('{"kind":');
      assert.equal((await problemOf(hasty.get(PATH))).failure, 'timeout');
      api.script = ({ response }) => {
        response.writeHead(200).write('{"kind":');
        setImmediate(() => api.cut());
      };
      assert.equal((await problemOf(small.get(PATH))).failure, 'unreachable');
      api.script = (asked) => answer(asked, { fine: true });
      assert.deepEqual(await small.get(PATH), { fine: true });
    });

    it('knows a watch that ends from one that breaks off', async () => {
      const heard = new Heard();
      api.script = ({ response }) => {
        response.writeHead(200).write(line('ADDED', '1').slice(0, 10));
        response.write(line('ADDED', '1').slice(10) + line('BOOKMARK', '5'));
        response.end(line('DELETED', '6'));
      };
      await client.watch(PATH, { resourceVersion: '1' }, heard);
      assert.deepEqual(
        heard.events.map(({ kind }) => kind),
        ['changed', 'bookmark', 'removed'],
      );
      assert.equal(api.asked.at(-1)?.query.get('watch'), 'true');
      api.script = ({ response }) => void response.writeHead(200).end(`${line('ADDED', '7')}{"type":"ADD`);
      assert.match((await problemOf(client.watch(PATH, {}, heard))).message, /ended within an event$/);
      api.script = ({ response }) => {
        response.writeHead(200).write(line('ADDED', '8'));
      };
      const cut = problemOf(client.watch(PATH, {}, heard));
      await heard.until(5);
      api.cut();
      assert.equal((await cut).failure, 'unreachable');
    });

    it('gives up a watch of garbage, of huge events, of silence, and one that nobody wants any more', async () => {
      const small = limited({ maxEventBytes: 1000 });
      api.script = ({ response }) => void response.writeHead(200).write('<html>\n');
      assert.equal((await problemOf(small.watch(PATH, {}, new Heard()))).failure, 'garbage');
      api.script = ({ response }) => void response.writeHead(200).write('x'.repeat(5000));
      assert.equal((await problemOf(small.watch(PATH, {}, new Heard()))).failure, 'too-large');
      const silent = new Heard();
      api.script = ({ response }) => void response.writeHead(200).write(line('ADDED', '1'));
      const late = await problemOf(limited({ silenceMs: 200 }).watch(PATH, {}, silent));
      assert.equal(late.message, `WATCH ${PATH}: no event within 200 ms`);
      const stop = new AbortController();
      const heard = new Heard();
      const stopped = problemOf(client.watch(PATH, {}, heard, stop.signal));
      await heard.until(1);
      stop.abort();
      assert.equal((await stopped).failure, 'closed');
      api.script = (asked) => refuse(asked, 410, 'Expired', 'too old resource version');
      assert.equal((await problemOf(client.watch(PATH, {}, heard))).status, 410);
    });

    it('shows a certificate, where it has one', async () => {
      const { chain: cert, key } = await api.pki.leaf({ dns: ['client.test'] });
      const own = new ApiClient({
        ...api.access,
        tls: () => ({ ...api.access.tls(), cert, key }),
        authorization: () => null,
      });
      others.push(own);
      api.script = (asked) => answer(asked, { fine: true });
      assert.deepEqual([...api.clients], []);
      await own.get(PATH);
      assert.deepEqual([...api.clients], ['client.test']);
      assert.equal(api.asked.at(-1)?.token, '');
    });

    it('takes another token, where there is one, when it is refused', async () => {
      const files = mkdtempSync(join(tmpdir(), 'token-'));
      const path = join(files, 'token');
      writeFileSync(path, 'old\n');
      const file = new TokenFile(path);
      const access = { ...api.access, authorization: () => `Bearer ${file.token}`, refused: () => file.forget() };
      const own = new ApiClient(access);
      others.push(own);
      api.script = (asked) => {
        if (asked.token === 'new') answer(asked, { fine: true });
        else refuse(asked, 401, 'Unauthorized', 'Unauthorized');
      };
      assert.equal((await problemOf(own.get(PATH))).status, 401);
      writeFileSync(join(files, 'next'), 'new\n');
      renameSync(join(files, 'next'), path);
      assert.deepEqual(await own.get(PATH), { fine: true });
      rmSync(path);
      const without = await problemOf(own.get(PATH));
      assert.equal(without.failure, 'credentials');
      assert.match(without.message, /token does not exist/);
      rmSync(files, { recursive: true });
    });
  });
}

describe('the connection of the client', () => {
  it('is one for everything, is left when the server says so, and is found dead by a ping', async () => {
    const api = await FaultyApi.start();
    const road = await Road.to(Number(api.access.server.port));
    const access = { ...api.access, server: new URL(`https://127.0.0.1:${road.port}`) };
    const client = new ApiClient(access, { pingMs: 100, pingTimeoutMs: 1500 });
    try {
      api.script = (asked) => {
        if (asked.query.has('watch')) asked.response.writeHead(200).write(line('ADDED', '1'));
        else answer(asked, {});
      };
      const heard = new Heard();
      const watching = problemOf(client.watch(PATH, {}, heard));
      await heard.until(1);
      await Promise.all([client.get(PATH), client.get(PATH), client.create(PATH, {})]);
      assert.equal(api.connections, 1);
      road.block();
      assert.match((await watching).message, /no answer to a ping within 1500 ms/);
      await client.get(PATH);
      assert.equal(api.connections, 2);
      for (const session of api.sessions) session.goaway();
      await eventually(() => client.protocol === null, 'the GOAWAY arrives');
      await client.get(PATH);
      assert.equal(api.connections, 3);
    } finally {
      client.close();
      road.stop();
      await api.stop();
    }
  });

  it('is refused where the certificate is from somebody else', async () => {
    const api = await FaultyApi.start();
    const client = new ApiClient({ ...api.access, tls: () => ({}) });
    assert.match((await problemOf(client.get(PATH))).message, /self-signed certificate|unable to (get|verify)/);
    client.close();
    await api.stop();
  });

  it('needs to be in a pod, or a kubeconfig', () => {
    assert.throws(() => podAccess({}), /not running in a pod; name a kubeconfig/);
    const access = podAccess({ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' });
    assert.equal(access.server.href, 'https://[fd00::1]:6443/');
    assert.throws(() => access.tls(), /ca\.crt does not exist/);
  });
});
