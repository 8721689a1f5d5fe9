// Authorization by identity: clients with certificates, with the wrong one, and without; and what the application is told of them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttp, type Server } from 'node:http';
import {
  connect as connectHttp2,
  createServer as createHttp2,
  type Http2Server,
  type IncomingHttpHeaders,
} from 'node:http2';
import { Agent, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { type Certified, meshName, spiffeName } from '../support/pki.js';
import {
  availableExecutors,
  eventually,
  type LogLine,
  plainSockets,
  type Sluice,
  startSluice,
} from '../support/sluice.js';
import { listen, type TcpServer } from '../support/tcp.js';
import { Certificates, NAME, secure } from './tls-support.js';

const TEST_MS = 8000;
/** Resolves when a socket is closed, be it by a reset. */
const closed = (socket: TLSSocket): Promise<void> => new Promise((resolve) => socket.once('close', () => resolve()));
const allowed = 'sluice_authorization_allowed_total';
const denied = 'sluice_authorization_denied_total';

interface Answer {
  readonly status: number;
  /** What the endpoint was told. */
  readonly fields: Readonly<Record<string, unknown>>;
}

for (const io of plainSockets ? await availableExecutors() : []) {
  describe(`authorization by identity on ${io}`, () => {
    let certificates: Certificates;
    let clients: Record<'both' | 'web' | 'job' | 'spiffe', Certified>;
    let one: Server;
    let two: Http2Server;
    let bytes: TcpServer;
    let sluice: Sluice;
    let yaml = '';

    const bind = async (server: Server | Http2Server): Promise<number> => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return (server.address() as AddressInfo).port;
    };
    const rules = (job: string): string => `{ default: deny, rules: [
        { name: web, identities: ["${meshName('web')}"] },
        { name: job, action: ${job}, identities: ["*.jobs.serviceaccount.identity.linkerd.cluster.local"], methods: [GET], pathPrefix: /public },
        { name: tunnels, action: ${job}, identities: ["*.jobs.serviceaccount.identity.linkerd.cluster.local"] },
        { name: spiffe, identities: ["spiffe://cluster.local/ns/test/*"] } ] }`;

    before(async () => {
      certificates = await Certificates.make();
      const { pki } = certificates;
      clients = {
        both: await pki.workload('web'),
        web: await pki.leaf({ dns: [meshName('web')] }),
        job: await pki.leaf({ dns: [meshName('cleanup', 'jobs')] }),
        spiffe: await pki.leaf({ uris: [spiffeName('web')] }),
      };
      const told = (headers: IncomingHttpHeaders): string => JSON.stringify(headers);
      one = createHttp((incoming, response) => response.end(told(incoming.headers)));
      two = createHttp2((incoming, response) => response.end(told(incoming.headers)));
      bytes = await listen((socket) => {
        socket.on('data', () => socket.write('served'));
        socket.on('end', () => socket.end());
      });
      const [first, second] = await Promise.all([bind(one), bind(two)]);
      const tls = certificates.listener(`clientAuthority: ${certificates.path('ca.pem')}, clientCertificate: optional`);
      const listener = (name: string, service: string, more: string): string =>
        `  - { name: ${name}, listen: "127.0.0.1:0", service: ${service}, tls: ${tls}${more} }`;
      yaml = `drain: { hold: 0, grace: 1s }
log: { access: true }
listeners:
${listener('one', 'one', `, authorization: ${rules('allow')}`)}
${listener('two', 'two', `, authorization: ${rules('allow')}`)}
${listener('bytes', 'bytes', `, protocol: opaque, authorization: ${rules('allow')}`)}
${listener('open', 'one', '')}
${listener('known', 'one', ', authorization: { default: all-authenticated }')}
services:
  one: { protocol: http1, endpoints: ["127.0.0.1:${first}"] }
  two: { protocol: http2, endpoints: ["127.0.0.1:${second}"] }
  bytes: { protocol: opaque, endpoints: ["127.0.0.1:${bytes.port}"] }
`;
      sluice = await startSluice(yaml, io);
    });

    after(async () => {
      await sluice?.stop();
      one?.closeAllConnections();
      one?.close();
      two?.close();
      await bytes?.close();
      certificates?.remove();
    });

    const options = (who: Certified | null): ConnectionOptions => ({
      ca: certificates.pki.anchor,
      servername: NAME,
      ...(who === null ? {} : { cert: who.chain, key: who.key }),
    });
    const spoofed = { 'l5d-client-id': 'root', l5d_client_id: 'root' };

    async function http1(listener: string, who: Certified | null, path: string, method = 'GET'): Promise<Answer> {
      const agent = new Agent({ ...options(who), maxCachedSessions: 0 });
      const asked = request({ agent, host: '127.0.0.1', port: sluice.port(listener), path, method, headers: spoofed });
      asked.end();
      const [response] = await once(asked, 'response');
      const text = (await response.setEncoding('latin1').toArray()).join('');
      agent.destroy();
      return { status: response.statusCode, fields: response.statusCode === 200 ? JSON.parse(text) : {} };
    }

    async function http2(listener: string, who: Certified | null, path: string, method = 'GET'): Promise<Answer> {
      const session = connectHttp2(`https://127.0.0.1:${sluice.port(listener)}`, options(who));
      const stream = session.request({ ':path': path, ':method': method, ...spoofed });
      const [headers] = await once(stream, 'response');
      const text = (await stream.setEncoding('latin1').toArray()).join('');
      session.close();
      return { status: headers[':status'], fields: headers[':status'] === 200 ? JSON.parse(text) : {} };
    }

    const test = (what: string, body: () => Promise<void>): void => void it(what, { timeout: TEST_MS }, body);

    for (const [version, ask] of [
      ['HTTP/1', http1],
      ['HTTP/2', http2],
    ] as const)
      for (const listener of ['one', 'two'])
        test(`${version} to ${listener}: rules know clients by their certificates, and the application is told of them`, async () => {
          assert.equal((await ask(listener, null, '/public')).status, 403);
          assert.equal((await ask(listener, certificates.client, '/public')).status, 403);
          for (const [who, name] of [
            [clients.both, spiffeName('web')],
            [clients.web, meshName('web')],
            [clients.spiffe, spiffeName('web')],
          ] as const) {
            const { status, fields } = await ask(listener, who, '/any', 'PUT');
            assert.equal(status, 200, name);
            assert.equal(fields['l5d-client-id'], name);
            assert.equal(fields.l5d_client_id, undefined);
          }
        });

    test('without rules whoever comes is let in, and only who has shown a certificate is told of', async () => {
      assert.equal((await http1('open', null, '/')).fields['l5d-client-id'], undefined);
      assert.equal((await http2('open', clients.job, '/')).fields['l5d-client-id'], meshName('cleanup', 'jobs'));
      assert.equal((await http1('known', null, '/')).status, 403);
      assert.equal((await http2('known', clients.job, '/')).status, 200);
      assert.equal(await sluice.metric(allowed, { listener: 'known', kind: 'http' }), 1);
      assert.equal(await sluice.metric(denied, { listener: 'known', kind: 'http' }), 1);
    });

    test('the log and the access log say who it was', async () => {
      let line: LogLine | undefined;
      // The line of a second names the first that was refused.
      await eventually(async () => {
        await http2('one', certificates.client, '/');
        line = sluice.log.find(({ message, identity }) => message === 'refused' && identity !== undefined);
        return line !== undefined;
      }, 'a refusal names who it was');
      assert.deepEqual([line?.rule, line?.reason], ['default', 'unauthorized']);
      const name = meshName('cleanup', 'jobs');
      const served = await sluice.logged(({ message, identity }) => message === 'request' && identity === name);
      assert.equal(served.status, 200);
    });

    test('bytes go by the identity too, and end when the rules turn against it', async () => {
      const [web, job, spiffe] = await Promise.all(
        [clients.web, clients.job, clients.spiffe].map((who) =>
          secure(sluice.port('bytes'), certificates, { cert: who.chain, key: who.key }),
        ),
      );
      for (const socket of [web, job, spiffe]) {
        socket.write('hello');
        const [data] = await once(socket, 'data');
        assert.equal(String(data), 'served');
      }
      const stranger = await secure(sluice.port('bytes'), certificates).catch((error: NodeJS.ErrnoException) => error);
      if ('destroy' in stranger) await closed(stranger);
      assert.equal(await sluice.metric(denied, { listener: 'bytes', rule: 'default', kind: 'tcp' }), 1);
      const gone = closed(job);
      sluice.reload(yaml.replaceAll('action: allow', 'action: deny'));
      await gone;
      assert.equal(await sluice.metric('sluice_authorization_terminated_total', { listener: 'bytes', rule: 'job' }), 1);
      for (const socket of [web, spiffe]) {
        socket.write('hello');
        const [data] = await once(socket, 'data');
        assert.equal(String(data), 'served');
        socket.destroy();
      }
      assert.equal((await http1('one', clients.job, '/public')).status, 403);
      await eventually(
        async () => (await sluice.metric('tcp_open_connections', { listener: 'bytes' })) === 0,
        'all are closed',
      );
    });
  });
}
