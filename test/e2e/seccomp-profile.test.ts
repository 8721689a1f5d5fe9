// The seccomp profile of k8s/: under it a proxy does all that it does, with io_uring and with epoll.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { get as getTls } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Pki } from '../support/pki.js';
import { run, which } from '../support/servers.js';
import { availableExecutors, eventually, startSluice } from '../support/sluice.js';

const file = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const PROFILE = file('k8s/components/io-uring/io-uring.json');
const LAUNCHER = ['python3', file('test/support/seccomp.py')];
const UNDER = [...LAUNCHER, PROFILE];
/** What the profile does not name ends the process: all that a proxy calls is named. */
const STRICT = [...LAUNCHER, '--kill', PROFILE];
const BIG = Buffer.alloc(8 << 20, 'x');

function lacking(): string | false {
  if (process.arch !== 'x64') return 'the filter is put together for x64';
  if (which('python3') === null) return 'python3 is not installed';
  const header = ['/usr/include/x86_64-linux-gnu/asm/unistd_64.h', '/usr/include/asm/unistd_64.h'].some(existsSync);
  return header ? false : 'the headers of the kernel are not installed';
}

function octets(port: number, path: string, ca = ''): Promise<number> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, agent: false, ca, servername: 'web.test' };
    (ca === '' ? get : getTls)(options, (response) => {
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
      });
      response.on('end', () => resolve(length)).on('error', reject);
    }).on('error', reject);
  });
}

describe('the profile that allows io_uring', { skip: lacking() }, async () => {
  const server = createServer((request, response) => response.end(request.url === '/big' ? BIG : 'small'));

  const directory = mkdtempSync(join(tmpdir(), 'sluice-seccomp-'));
  let anchor = '';
  let tls = '';

  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const pki = await Pki.make();
    anchor = pki.anchor;
    const { certificate, key } = (await pki.leaf({ dns: ['web.test'] })).write(directory, 'web');
    tls = `{ certificates: [{ certificate: ${certificate}, key: ${key} }] }`;
  });
  after(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });

  it('without io_uring is one under which a proxy takes epoll, and says so', async () => {
    const forbidden = readFileSync(PROFILE, 'utf8').replaceAll(/"io_uring_\w+"/g, '"bind"');
    const path = join(directory, 'without.json');
    writeFileSync(path, forbidden);
    const { port } = server.address() as AddressInfo;
    const yaml = `listeners: [{ name: in, listen: "127.0.0.1:0", service: app }]\nservices: { app: { endpoints: ["127.0.0.1:${port}"] } }\n`;
    const sluice = await startSluice(yaml, 'auto', {}, [...LAUNCHER, path]);
    try {
      assert.equal(await octets(sluice.port('in'), '/'), 5);
      const started = await sluice.logged(({ message, executor }) => message === 'accepting' && executor !== undefined);
      assert.equal(started.executor, 'epoll', JSON.stringify(started));
    } finally {
      assert.equal(await sluice.stop(), 0);
    }
  });

  /** The profile without one system call, and without io_uring. */
  const without = (call: string): string[] => {
    const path = join(directory, `without-${call}.json`);
    const text = readFileSync(PROFILE, 'utf8').replaceAll(/"io_uring_\w+"/g, '"bind"');
    writeFileSync(path, text.replaceAll(`"${call}"`, '"bind"'));
    return [...LAUNCHER, path];
  };
  const config = (): string => {
    const { port } = server.address() as AddressInfo;
    return `listeners: [{ name: in, listen: "127.0.0.1:0", service: app }]\nservices: { app: { endpoints: ["127.0.0.1:${port}"] } }\n`;
  };

  it('without accept4 is one under which the log says that nothing can be accepted, where and why', async () => {
    const sluice = await startSluice(config(), 'epoll', {}, without('accept4'));
    const client = connect(sluice.port('in'), '127.0.0.1').on('error', () => undefined);
    try {
      const refused = await sluice.logged(({ message }) => /^connections cannot be accepted/.test(String(message)));
      assert.equal(refused.level, 'error');
      assert.equal(refused.listener, 'in');
      assert.equal(refused.error, 'EPERM');
      assert.match(String(refused.help), /accept4/);
    } finally {
      client.destroy();
      assert.equal(await sluice.stop(), 0);
    }
  });

  it('without prlimit64 is one under which a proxy counts on 1,024 descriptors, and serves', async () => {
    const sluice = await startSluice(config(), 'epoll', {}, without('prlimit64'));
    try {
      const warning = await sluice.logged(({ message }) =>
        /^limits\.maxConnections is more than/.test(String(message)),
      );
      assert.equal(warning.limit, 1024);
      assert.ok(Number(warning.clients) > 400);
      assert.equal(await octets(sluice.port('in'), '/'), 5);
    } finally {
      assert.equal(await sluice.stop(), 0);
    }
  });

  it('is one: it forbids what it does not name', async () => {
    const { code, stderr } = await run(UNDER[0], [...UNDER.slice(1), 'unshare', '--user', 'true']);
    assert.notEqual(code, 0);
    assert.match(stderr, /not permitted/);
  });

  for (const io of await availableExecutors())
    it(`lets a proxy serve (${io})`, async () => {
      const { port } = server.address() as AddressInfo;
      // A name, so that the resolver is asked; a reload, so that threads and files are used again.
      const yaml = `workers: 2
listeners:
  - { name: in, listen: "127.0.0.1:0", service: app }
  - { name: tls, listen: "127.0.0.1:0", service: app, tls: ${tls} }
  - { name: bytes, listen: "127.0.0.1:0", service: app, protocol: opaque }
services:
  app: { endpoints: ["localhost:${port}"] }
`;
      const sluice = await startSluice(yaml, io, {}, STRICT);
      try {
        await eventually(async () => (await octets(sluice.port('in'), '/').catch(() => 0)) === 5, 'an answer');
        for (let times = 0; times < 3; times++)
          for (const name of ['in', 'bytes', 'tls'])
            assert.equal(await octets(sluice.port(name), '/big', name === 'tls' ? anchor : ''), BIG.length, name);
        sluice.reload(yaml);
        await sluice.logged(({ message }) => /reload|configuration/.test(message));
        assert.equal(await octets(sluice.port('in'), '/'), 5);
        assert.match(await sluice.admin('/metrics'), /sluice_spliced_bytes_total/);
      } finally {
        assert.equal(await sluice.stop(), 0);
      }
    });
});
