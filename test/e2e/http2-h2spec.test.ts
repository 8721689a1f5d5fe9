// h2spec, the conformance suite that most servers are held against (its binary, where there is one in PATH).
import assert from 'node:assert/strict';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { it } from 'node:test';
import { run, which } from '../support/servers.js';
import { availableExecutors, startSluice } from '../support/sluice.js';

const skip = which('h2spec') === null && 'h2spec is not installed';

/** Seconds that h2spec waits for what it expects. */
const PATIENCE = 5;

for (const io of await availableExecutors()) {
  it(`passes h2spec on ${io}`, { skip }, async () => {
    const server = createServer();
    server.on('stream', (stream) => {
      stream.on('error', () => undefined);
      stream.resume().on('end', () => {
        if (stream.destroyed) return;
        stream.respond({ ':status': 200 });
        stream.end('a body of some octets');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const sluice = await startSluice(
      `drain: { hold: 0 }
listeners: [{ name: edge, listen: "127.0.0.1:0", service: web, protocol: http2 }]
services: { web: { protocol: http2, endpoints: ["127.0.0.1:${port}"] } }
`,
      io,
    );
    try {
      const where = ['-h', '127.0.0.1', '-p', String(sluice.port('edge')), '-o', String(PATIENCE)];
      const { code, stdout } = await run('h2spec', where);
      assert.equal(code, 0, stdout);
      assert.match(stdout, /^\d+ tests, \d+ passed, 0 skipped, 0 failed$/m);
    } finally {
      assert.equal(await sluice.stop(), 0);
      server.close();
    }
  });
}
