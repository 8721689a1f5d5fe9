// Traffic follows a file of endpoints while the proxy runs.
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { availableExecutors } from '../support/sluice.js';
import { httpOrigin, open } from './lifecycle-support.js';
import { startEngine } from './workers-support.js';

const directory = mkdtempSync(join(tmpdir(), 'sluice-file-'));
after(() => rmSync(directory, { recursive: true, force: true }));

for (const io of await availableExecutors()) {
  test(`${io}: endpoints come from a file, and change with it, without a request lost`, async () => {
    const [one, two] = await Promise.all([
      httpOrigin((_, response) => response.end('one')),
      httpOrigin((_, response) => response.end('two')),
    ]);
    const file = join(directory, `${io}.yaml`);
    const { log, port, stop } = await startEngine(
      `listeners:\n  - { name: edge, listen: "127.0.0.1:0", protocol: http1, service: web }\n` +
        `services:\n  web: { protocol: http1, endpoints: { file: ${file}, key: web } }\n`,
      io,
    );
    const ask = async (): Promise<string> => {
      const client = await open(port);
      const { status, body } = await client.get();
      client.destroy();
      return status === 200 ? body.toString() : String(status);
    };
    /** Asks until the answer is this one; only the answers given are allowed before it. */
    const becomes = async (wanted: string, ...before: string[]): Promise<void> => {
      for (;;) {
        const answer = await ask();
        if (answer === wanted) return;
        assert.ok(before.includes(answer), answer);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    assert.match(JSON.stringify(log), /does not exist; create it, or correct the path/);
    assert.equal(await ask(), '503');
    writeFileSync(file, `web:\n- 127.0.0.1:${one.port}\n`);
    await becomes('one', '503');
    writeFileSync(`${file}.next`, JSON.stringify({ web: [`127.0.0.1:${two.port}`] }));
    renameSync(`${file}.next`, file);
    await becomes('two', 'one');
    writeFileSync(file, 'web: [nonsense]\n');
    while (!JSON.stringify(log).includes('has no port')) assert.equal(await ask(), 'two');
    assert.equal(await ask(), 'two');
    assert.equal(await stop(), 0);
    await Promise.all([one.close(), two.close()]);
  });

  test(`${io}: endpoints of a file share requests by their weights`, async () => {
    let light = 0;
    const [one, nine] = await Promise.all([
      httpOrigin((_, response) => {
        light++;
        response.end();
      }),
      httpOrigin((_, response) => response.end()),
    ]);
    const file = join(directory, `${io}-weights.yaml`);
    writeFileSync(file, `- { address: "127.0.0.1:${one.port}" }\n- { address: "127.0.0.1:${nine.port}", weight: 9 }\n`);
    const { port, stop } = await startEngine(
      `listeners:\n  - { name: edge, listen: "127.0.0.1:0", protocol: http1, service: web }\n` +
        `services:\n  web: { protocol: http1, balance: { policy: round-robin }, endpoints: { file: ${file} } }\n`,
      io,
    );
    const client = await open(port);
    for (let i = 0; i < 400; i++) assert.equal((await client.get()).status, 200);
    client.destroy();
    // 40 are to be expected, give or take 6.
    assert.ok(light > 0 && light < 120, `${light} of 400`);
    assert.equal(await stop(), 0);
    await Promise.all([one.close(), nine.close()]);
  });
}
