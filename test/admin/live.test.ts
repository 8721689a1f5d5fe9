// `/state` and `/events` over a socket, and the commands that show them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { get, type IncomingMessage, request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ADMIN_LIMITS, AdminServer } from '../../src/admin/server.js';
import type { LiveError, LiveState } from '../../src/live/state.js';
import { counted, LIVE_BOUNDS } from '../live/support.js';
import { eventually, inherited } from '../support/sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const ERROR: LiveError = {
  at: 1,
  reason: 'unauthorized',
  count: 1,
  listener: 'edge',
  client: '10.9.8.7:1234',
  identity: 'evil\u001b[2J',
  service: 'web',
  endpoint: '',
  rule: 'r',
};

describe('what goes on, at the admin port', () => {
  const { reader, requests } = counted();
  const server = new AdminServer(
    {
      logger: { warn: () => undefined, error: () => undefined },
      ready: () => ({ ok: true, reasons: [] }),
      reader,
      explain: () => ({}),
      getLogLevel: () => 'info',
      setLogLevel: () => undefined,
      version: '1.2.3',
      executor: 'epoll',
      liveBounds: () => LIVE_BOUNDS,
      maxScrapes: 4,
      live: { errors: () => [ERROR], identity: () => 'me.shop' },
    },
    ADMIN_LIMITS,
  );
  before(() => server.listen({ host: '127.0.0.1', port: 0 }));
  after(() => server.close());

  const ask = async (path: string, headers: Record<string, string> = {}) => {
    const asked = request({ host: '127.0.0.1', port: server.port, path, agent: false, headers }).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    let body = '';
    for await (const chunk of response.setEncoding('utf8')) body += chunk;
    return { status: response.statusCode, type: response.headers['content-type'], body };
  };
  const listen = async (headers: Record<string, string> = {}) => {
    const asked = get({ host: '127.0.0.1', port: server.port, path: '/events', agent: false, headers });
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    response.on('error', () => undefined);
    return { status: response.statusCode, text: () => text, leave: () => asked.destroy() };
  };

  it('/state covers the interval that is asked for', async () => {
    requests(20, 1000);
    const since = JSON.parse((await ask('/state?window=start')).body) as LiveState;
    assert.equal(since.services[0].latency?.count, 20);
    assert.equal(since.identity, 'me.shop');
    const { status, type, body } = await ask('/state?window=100ms');
    assert.equal(status, 200);
    assert.equal(type, 'application/json');
    const state = JSON.parse(body) as LiveState;
    assert.equal(state.services[0].latency, null);
    assert.ok(state.seconds >= 0.09, `${state.seconds}`);
    assert.equal((JSON.parse((await ask('/state?window=start&limit=0')).body) as LiveState).omitted.services, 1);
  });

  it('/state says what is wrong with a question', async () => {
    for (const query of [
      'window=1',
      'window=2m',
      'window=x',
      'window=1ms',
      'window=start&limit=-1',
      'window=start&limit=x',
    ]) {
      const { status, body } = await ask(`/state?${query}`);
      assert.equal(status, 400, query);
      assert.match(body, /window=5s/);
    }
  });

  it('addresses of clients are told to askers on this machine only, and to no page of a name that was made to mean it', async () => {
    const client = async (headers: Record<string, string>) =>
      (JSON.parse((await ask('/state?window=start', headers)).body) as LiveState).errors[0].client;
    assert.equal(await client({}), ERROR.client);
    assert.equal(await client({ host: `localhost:${server.port}` }), ERROR.client);
    assert.equal(await client({ host: '[::1]:4191' }), ERROR.client);
    assert.equal(await client({ host: 'rebound.example:4191' }), '');
    assert.equal(await client({ origin: 'http://elsewhere.example' }), '');
  });

  it('/dashboard is one page that may run its own script and nothing else', async () => {
    const asked = request({ host: '127.0.0.1', port: server.port, path: '/dashboard', agent: false }).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    let html = '';
    for await (const chunk of response.setEncoding('utf8')) html += chunk;
    assert.ok(Buffer.byteLength(html) < 150_000, `${Buffer.byteLength(html)} bytes`);
    const policy = String(response.headers['content-security-policy']);
    for (const [, tag, content] of html.matchAll(/<(script|style)[^>]*>([\s\S]*?)<\/\1>/g)) {
      const hash = createHash('sha256').update(content).digest('base64');
      assert.ok(policy.includes(`${tag}-src 'sha256-${hash}';`), `${tag}: ${policy}`);
    }
    assert.match(policy, /^default-src 'none'; .*connect-src 'self'.*frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.doesNotMatch(html.replace(/<!--.*?-->/g, ''), /(?:src|href)="?(?:https?:)?\/\//);
    assert.match((await ask('/', { accept: 'text/html' })).body, /<a href="\/dashboard">/);
  });

  it('/events begins with how long to wait before the next connection, and goes on', async () => {
    const { status, text, leave } = await listen();
    assert.equal(status, 200);
    await eventually(() => text().split('data: ').length > 2, 'two events');
    assert.match(text(), /^retry: \d+\n\ndata: \{"stateVersion":1,/);
    leave();
  });

  it('/events refuses more listeners than there may be, until some leave', async () => {
    const all = await Promise.all(Array.from({ length: LIVE_BOUNDS.listeners }, () => listen()));
    assert.ok(all.every(({ status }) => status === 200));
    const { status, body } = await ask('/events');
    assert.equal(status, 503);
    assert.match(body, /\/state/);
    for (const { leave } of all) leave();
    await eventually(async () => {
      const one = await listen();
      one.leave();
      return one.status === 200;
    }, 'room for another one');
  });

  it('HEAD of /events ends', async () => {
    const asked = request({
      host: '127.0.0.1',
      port: server.port,
      path: '/events',
      method: 'HEAD',
      agent: false,
    }).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    response.resume();
    await once(response, 'end');
    assert.equal(response.statusCode, 200);
  });

  const run = async (args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
    const child = spawn(process.execPath, [MAIN, ...args], { env: { ...inherited(), ...env } });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    const [code] = (await once(child, 'close')) as [number];
    return { code, out, err };
  };
  const from = () => ['--from', `127.0.0.1:${server.port}`];

  it('the commands show it as tables, as JSON, and in 40 columns', async () => {
    const all = ['-t', 'start', ...from()];
    const [stat, endpoints, edges, routes, json, narrow] = await Promise.all([
      run(['stat', ...all]),
      run(['endpoints', 'web', ...all]),
      run(['edges', ...all]),
      run(['routes', ...all, '-o', 'wide']),
      run(['stat', ...all, '--output', 'json']),
      run(['endpoints', ...all, '-o', 'wide'], { COLUMNS: '40' }),
    ]);
    assert.match(stat.out, /^NAME +READY +SUCCESS +RPS .*\nweb +2\/2 +100\.00% /);
    assert.match(endpoints.out, /\n10\.0\.0\.1:80 +web +ready +100\.00% .* 100\.0%/);
    assert.match(edges.out, /unknown +edge +no \(no_tls\)/);
    assert.match(edges.out, /me\.shop +web +no \(no_tls\)/);
    assert.match(routes.out, /read +web +100\.00%/);
    assert.equal(JSON.parse(json.out).rows[0].name, 'web');
    for (const line of narrow.out.split('\n')) assert.ok(line.length <= 40, line);
    assert.match(narrow.out, /^10\.0\.0\.1:80\n {2}service web, state ready/);
    for (const { code, err, out } of [stat, endpoints, edges, routes, json, narrow]) {
      assert.equal(code, 0, err);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none of these is to be there.
      assert.doesNotMatch(out, /[\u0000-\u0009\u000b-\u001f]/);
    }
  });

  it('the commands say what is wrong, and with which code', async () => {
    const cases: readonly (readonly [args: readonly string[], code: number, says: RegExp])[] = [
      [['stat', 'nobody', '-t', 'start', ...from()], 1, /has no "nobody"; expected one of .*web/],
      [['stat', '--from', '127.0.0.1:1'], 1, /nobody listens on 127\.0\.0\.1:1: is the proxy running.*--from/],
      [['edges', '--window', '1'], 2, /--window: "1" is not a duration/],
      [['routes', '--output', 'xml'], 2, /--output: "xml" is not one of table, wide, json/],
      [['endpoints', '--watch', '-t', 'start'], 2, /--watch/],
      [['stat', '--from', 'x'], 2, /--from: "x" has no port/],
    ];
    await Promise.all(
      cases.map(async ([args, code, says]) => {
        const said = await run(args);
        assert.equal(said.code, code, said.err);
        assert.match(said.err, says);
      }),
    );
  });

  it('--watch goes on over a proxy that is not there, and ends with Ctrl-C', async () => {
    const child = spawn(process.execPath, [MAIN, 'stat', '--watch', '-t', '100ms', '-o', 'json', ...from()], {
      env: inherited(),
    });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    await eventually(() => out.split('\n').length > 2, 'two lines');
    for (const line of out.split('\n').slice(0, 2)) assert.equal(JSON.parse(line).rows[0].name, 'web');
    child.kill('SIGINT');
    const [code] = (await once(child, 'close')) as [number];
    assert.equal(code, 0);
    const lost = spawn(process.execPath, [MAIN, 'stat', '--watch', '--from', '127.0.0.1:1'], { env: inherited() });
    const [said] = (await once(lost.stderr.setEncoding('utf8'), 'data')) as [string];
    assert.match(said, /nobody listens .* trying again/);
    lost.kill('SIGTERM');
    assert.deepEqual(await once(lost, 'close'), [0, null]);
  });
});
