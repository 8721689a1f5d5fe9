// `sluice await`, and the end of a proxy that its admin port is told.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inherited, startSluice } from '../support/sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

async function run(...args: string[]): Promise<{ status: number; said: string }> {
  const child = spawn(process.execPath, [MAIN, 'await', ...args], { env: inherited() });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  const [status] = (await once(child, 'close')) as [number];
  return { status, said };
}

describe('sluice await', () => {
  let asked = 0;
  let readyAfter = 0;
  const page = createServer((_, response) => {
    response.statusCode = ++asked > readyAfter ? 200 : 503;
    response.end('no identity yet');
  });
  let address = '';
  before(async () => {
    await once(page.listen(0, '127.0.0.1'), 'listening');
    address = `127.0.0.1:${(page.address() as AddressInfo).port}`;
  });
  after(() => page.close());

  it('asks until the proxy is ready', async () => {
    readyAfter = 3;
    assert.deepEqual(await run('--address', address, '--timeout', '1h'), { status: 0, said: `${address} is ready\n` });
    assert.equal(asked, 4);
  });

  it('says why it is not, with code 1', async () => {
    readyAfter = Number.POSITIVE_INFINITY;
    const { status, said } = await run('--address', address, '--timeout', '500ms');
    assert.equal(status, 1);
    assert.match(said, /is not ready after 500ms: (no identity yet|no answer)/);
    const nobody = await run('--address', '127.0.0.1:1', '--timeout', '1ms');
    assert.equal(nobody.status, 1);
    assert.match(nobody.said, /ECONNREFUSED|no answer/);
  });

  it('does not wait for who answers an octet at a time', async () => {
    const slow = createServer((_, response) => {
      response.writeHead(200);
      const more = setInterval(() => response.write('x'), 20);
      response.once('close', () => clearInterval(more));
    });
    await once(slow.listen(0, '127.0.0.1'), 'listening');
    const { port } = slow.address() as AddressInfo;
    const { status, said } = await run('--address', `127.0.0.1:${port}`, '--timeout', '300ms');
    assert.deepEqual([status, /no answer/.test(said)], [1, true]);
    slow.close();
  });

  it('refuses what makes no sense, with code 2', async () => {
    assert.match((await run('--timeout', '5')).said, /--timeout: .*is not a duration/);
    assert.equal((await run('--address', 'http://localhost')).status, 2);
    assert.equal((await run('now')).status, 2);
  });
});

describe('POST /shutdown', () => {
  const yaml = (more: string): string => `
admin: { listen: "127.0.0.1:0"${more} }
drain: { hold: 0s }
listeners: [{ name: edge, listen: "127.0.0.1:0", service: web }]
services: { web: { endpoints: ["127.0.0.1:9"] } }
`;
  const shutDown = async (port: number): Promise<number> =>
    (await fetch(`http://127.0.0.1:${port}/shutdown`, { method: 'POST', headers: { connection: 'close' } })).status;

  it('drains and ends the proxy where it may', async () => {
    const sluice = await startSluice(yaml(', shutdown: true'), 'epoll');
    assert.equal(await shutDown(sluice.adminPort), 202);
    assert.equal(await sluice.exited, 0);
  });

  it('is not there by default', async () => {
    const sluice = await startSluice(yaml(''), 'epoll');
    assert.equal(await shutDown(sluice.adminPort), 404);
    assert.equal(await sluice.stop(), 0);
  });
});
