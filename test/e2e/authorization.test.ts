// Authorization of connections: by network, port and identity; what is refused is refused early, told of, and counted.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, describe, it } from 'node:test';
import { GrpcClient, grpcEndpoint } from '../support/grpc.js';
import { client, exchange } from '../support/http.js';
import { http1Endpoint } from '../support/http2.js';
import { availableExecutors, type Executor, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { listen } from '../support/tcp.js';

const TEST_MS = 8000;
const PERMISSION_DENIED = 7;
const GET = 'GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const BYTES = Buffer.from('\0\0no http\r\n');

interface Endpoints {
  readonly web: string;
  readonly bytes: string;
  readonly grpc: string;
}

/** Everybody is from 127.0.0.1. `local` is what the listener `pipe` says of that. */
const config = ({ web, bytes, grpc }: Endpoints, local = 'allow'): string => `
drain: { hold: 0 }
log: { access: true }
authorization: { default: cluster-unauthenticated, clusterNetworks: ["127.0.0.0/8"] }
listeners:
  - { name: near, listen: "127.0.0.1:0", service: web }
  - { name: out, listen: "127.0.0.1:0", service: web, direction: outbound, authorization: { rules: [{ name: far, action: deny, networks: ["192.0.2.0/24"] }] } }
  - { name: far, listen: "127.0.0.1:0", service: web, authorization: { clusterNetworks: ["192.0.2.0/24"] } }
  - { name: nobody, listen: "127.0.0.1:0", services: { http1: web, opaque: bytes }, authorization: { default: deny } }
  - { name: known, listen: "127.0.0.1:0", services: { http1: web, http2: web, opaque: bytes }, authorization: { default: all-authenticated } }
  - name: paths
    listen: "127.0.0.1:0"
    services: { http1: web, http2: web, opaque: bytes }
    authorization: { default: deny, rules: [{ name: open, pathPrefix: /open }] }
  - name: pipe
    listen: "127.0.0.1:0"
    services: { http1: web, opaque: bytes }
    authorization:
      rules:
        - { name: local, action: ${local}, networks: [{ cidr: "127.0.0.0/8", except: ["127.9.0.0/16"] }] }
  - { name: other, listen: "127.0.0.1:0", services: { opaque: bytes }, authorization: { default: audit } }
  - { name: ports, listen: "127.0.0.1:0", service: web, authorization: { default: deny, rules: [{ name: low, ports: ["1-1023"] }] } }
  - name: grpc
    listen: "127.0.0.1:0"
    service: grpc
    authorization: { default: deny, rules: [{ name: health, path: /grpc.health.v1.Health/Check }, { name: calls, path: /peers.Peers/Unary, methods: [GET] }] }
services:
  web: { protocol: http1, endpoints: ["${web}"] }
  bytes: { protocol: opaque, endpoints: ["${bytes}"] }
  grpc: { protocol: http2, endpoints: ["${grpc}"] }
`;

const started: Sluice[] = [];
after(() => {
  for (const { child } of started) child.kill('SIGKILL');
});

const allowed = 'sluice_authorization_allowed_total';
const denied = 'sluice_authorization_denied_total';

/** How a connection that is not let in ends. */
function turnedAway(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    socket.on('close', () => resolve('closed'));
  });
}

/** What becomes of bytes that are no HTTP. */
async function says(port: number): Promise<string> {
  const wire = await client(port);
  wire.write(BYTES);
  await wire.until(() => wire.end !== undefined || wire.total > 0, 'an answer');
  const told = wire.total > 0 ? 'served' : (wire.end ?? '');
  wire.destroy();
  return told;
}

for (const io of await availableExecutors()) {
  describe(`authorization on ${io}`, () => {
    let sluice: Sluice;
    let accepted = 0;
    const ready = (async () => {
      const web = await http1Endpoint();
      const bytes = await listen((socket) => {
        accepted++;
        socket.on('data', () => socket.write('served'));
        socket.on('end', () => socket.end());
      });
      const grpc = await grpcEndpoint();
      const endpoints = { web: web.address, bytes: `127.0.0.1:${bytes.port}`, grpc: grpc.address };
      sluice = await startSluice(config(endpoints), io as Executor);
      started.push(sluice);
      return { web, bytes, grpc, endpoints };
    })();
    const test = (what: string, body: () => Promise<void>): void => {
      it(what, { timeout: TEST_MS }, async () => {
        await ready;
        await body();
      });
    };
    after(async () => {
      const { web, bytes, grpc } = await ready;
      assert.equal(await sluice.stop(), 0);
      grpc.close();
      await Promise.all([web.close(), bytes.close()]);
    });

    test('who comes from the cluster is let in, also by the rules at the top; an outbound listener has none of those', async () => {
      for (const name of ['near', 'out']) assert.equal((await exchange(sluice.port(name), GET)).status, 200, name);
      assert.equal(await sluice.metric(allowed, { listener: 'near', rule: 'default', kind: 'http' }), 1);
      assert.equal(await sluice.metric(allowed, { listener: 'out', rule: 'default', kind: 'http' }), 1);
    });

    test('where nobody is let in the connection is reset before it has said anything, and nothing is dialled', async () => {
      const before = accepted;
      for (const name of ['far', 'nobody', 'ports']) {
        assert.equal(await turnedAway(sluice.port(name)), 'ECONNRESET', name);
        assert.equal(await sluice.metric(denied, { listener: name, rule: 'default', kind: 'tcp' }), 1);
        assert.equal(await sluice.metric('tcp_close_total', { listener: name, errno: 'unauthorized' }), 1);
      }
      const line = await sluice.logged(({ message, reason }) => message === 'refused' && reason === 'unauthorized');
      assert.deepEqual([line.level, line.rule], ['info', 'default']);
      assert.match(String(line.client), /^127\.0\.0\.1:/);
      assert.equal(accepted, before);
    });

    test('without an identity requests get 403, and bytes a reset; for who is silent nothing is dialled', async () => {
      const before = accepted;
      const { status, body } = await exchange(sluice.port('known'), GET);
      assert.deepEqual([status, String(body)], [403, 'unauthorized\n']);
      assert.equal(await says(sluice.port('known')), 'reset');
      const silent = await client(sluice.port('known'));
      await new Promise((resolve) => setTimeout(resolve, 150));
      assert.equal(silent.end, undefined);
      silent.write(GET);
      await silent.until(() => silent.end !== undefined, 'an answer');
      silent.destroy();
      assert.equal(accepted, before);
      assert.equal(await sluice.metric(denied, { listener: 'known', kind: 'http' }), 2);
      assert.equal(await sluice.metric(denied, { listener: 'known', kind: 'tcp' }), 1);
    });

    test('a rule with a path allows no bytes that nobody reads', async () => {
      assert.equal((await exchange(sluice.port('paths'), GET)).status, 200);
      assert.equal((await exchange(sluice.port('paths'), GET.replace('/open/x', '/'))).status, 403);
      assert.equal((await exchange(sluice.port('paths'), GET.replace('/open/x', 'http://a/open'))).status, 200);
      assert.equal((await exchange(sluice.port('paths'), GET.replace('GET /open/x', 'OPTIONS http://a'))).status, 403);
      assert.equal(await says(sluice.port('paths')), 'reset');
      assert.equal(await sluice.metric(denied, { listener: 'paths', rule: 'default', kind: 'tcp' }), 1);
    });

    test('what is audited is allowed, counted and told of', async () => {
      assert.equal(await says(sluice.port('other')), 'served');
      const line = await sluice.logged(({ message, listener }) => message === 'audited' && listener === 'other');
      assert.deepEqual([line.reason, line.rule, line.service], ['audit', 'default', 'bytes']);
      assert.equal(await sluice.metric(allowed, { listener: 'other', rule: 'default', kind: 'tcp' }), 1);
    });

    test('a gRPC call gets PERMISSION_DENIED', async () => {
      const { grpc } = await ready;
      const before = grpc.calls;
      const caller = new GrpcClient(sluice.port('grpc'));
      const { status } = await caller.unary(Buffer.from('hello'));
      assert.equal(status.code, PERMISSION_DENIED);
      assert.match(status.details, /unauthorized/);
      caller.close();
      assert.equal(grpc.calls, before);
    });

    test('the access log names the rule', async () => {
      const served = await sluice.logged(
        ({ message, listener, status }) => message === 'request' && listener === 'paths' && status === 200,
      );
      assert.equal(served.rule, 'open');
      const refused = await sluice.logged(
        ({ message, listener, status }) => message === 'request' && listener === 'paths' && status === 403,
      );
      assert.deepEqual([refused.rule, refused.reason], ['default', 'unauthorized']);
      const bytes = await sluice.logged(({ message, listener }) => message === 'connection' && listener === 'paths');
      assert.deepEqual([bytes.rule, bytes.reason, bytes.closed], ['default', 'unauthorized', 'unauthorized']);
    });

    test('a change of the rules ends what it forbids, and nothing else', async () => {
      const { endpoints } = await ready;
      const reload = async (yaml: string): Promise<void> => {
        const before = sluice.log.filter(({ message }) => message === 'reloaded').length;
        sluice.reload(yaml);
        await eventually(() => sluice.log.filter(({ message }) => message === 'reloaded').length > before, 'reloaded');
      };
      const open = async (name: string) => {
        const wire = await client(sluice.port(name));
        wire.write(BYTES);
        await wire.until(() => wire.total > 0, 'it is served');
        return wire;
      };
      const [here, there] = [await open('pipe'), await open('other')];
      await reload(`${config(endpoints)}\n`);
      await reload(config(endpoints, 'deny'));
      await here.until(() => here.end !== undefined, 'it is cut off');
      assert.equal(here.end, 'reset');
      assert.equal(
        await sluice.metric('sluice_authorization_terminated_total', { listener: 'pipe', rule: 'local' }),
        1,
      );
      const { total } = there;
      there.write(BYTES);
      await there.until(() => there.total > total, 'it goes on');
      assert.equal(await turnedAway(sluice.port('pipe')), 'ECONNRESET');
      assert.equal(await sluice.metric(denied, { listener: 'pipe', rule: 'local', kind: 'tcp' }), 1);
      // The other way: rules that are gone.
      await reload(config(endpoints).replace(/ {6}rules:\n.*local.*\n/, '      default: all-unauthenticated\n'));
      assert.equal(await says(sluice.port('pipe')), 'served');
      there.destroy();
      here.destroy();
    });
  });
}
