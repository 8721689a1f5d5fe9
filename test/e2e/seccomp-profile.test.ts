// The seccomp profile of k8s/: under it a proxy does all that it does, with io_uring and with epoll.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run, which } from '../support/servers.js';
import { availableExecutors, eventually, startSluice } from '../support/sluice.js';

const file = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const UNDER = ['python3', file('test/support/seccomp.py'), file('k8s/components/io-uring/io-uring.json')];
const BIG = Buffer.alloc(8 << 20, 'x');

function lacking(): string | false {
  if (process.arch !== 'x64') return 'the filter is put together for x64';
  if (which('python3') === null) return 'python3 is not installed';
  const header = ['/usr/include/x86_64-linux-gnu/asm/unistd_64.h', '/usr/include/asm/unistd_64.h'].some(existsSync);
  return header ? false : 'the headers of the kernel are not installed';
}

function octets(port: number, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
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

  before(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
  after(() => server.close());

  it('is one: it forbids what it does not name', async () => {
    const { code, stderr } = await run(UNDER[0], [...UNDER.slice(1), 'unshare', '--user', 'true']);
    assert.notEqual(code, 0);
    assert.match(stderr, /not permitted/);
  });

  for (const io of await availableExecutors())
    it(`lets a proxy serve (${io})`, async () => {
      const { port } = server.address() as AddressInfo;
      // A name, so that the resolver is asked; a reload, so that threads and files are used again.
      const yaml = `listeners:
  - { name: in, listen: "127.0.0.1:0", service: app }
services:
  app: { endpoints: ["localhost:${port}"] }
`;
      const sluice = await startSluice(yaml, io, {}, UNDER);
      try {
        await eventually(async () => (await octets(sluice.port('in'), '/').catch(() => 0)) === 5, 'an answer');
        for (let times = 0; times < 3; times++)
          assert.equal(await octets(sluice.port('in'), '/big'), BIG.length, 'spliced');
        sluice.reload(yaml);
        await sluice.logged(({ message }) => /reload|configuration/.test(message));
        assert.equal(await octets(sluice.port('in'), '/'), 5);
        assert.match(await sluice.admin('/metrics'), /sluice_spliced_bytes_total/);
      } finally {
        assert.equal(await sluice.stop(), 0);
      }
    });
});
