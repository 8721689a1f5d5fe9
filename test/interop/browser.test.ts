// What a browser does through Sluice: pages, events, aborted fetches. The endpoint hears at once that nobody waits any more.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, it } from 'node:test';
import { startEdge, tearDown } from '../support/gateway.js';
import { availableExecutors, eventually } from '../support/sluice.js';
import { lackingChromium, openPage } from './chromium.js';

const PAGE = `<!doctype html><script>
const say = (what) => fetch('/say?' + what, { method: 'POST', keepalive: true });
(async () => {
  // Events that come, and a silent stream.
  const events = new EventSource('/events');
  await new Promise((resolve) => { let n = 0; events.onmessage = () => ++n === 3 && resolve(); });
  events.close();
  await say('heard');
  for (const [name, options] of [['waits', {}], ['streams', {}], ['upload', { method: 'POST', body: 'x'.repeat(100000) }]]) {
    const abort = new AbortController();
    const answer = fetch('/slow/' + name, { ...options, signal: abort.signal }).then((response) => response.text());
    await fetch('/arrived/' + name);
    abort.abort();
    await answer.catch(() => undefined);
    await say('aborted-' + name);
  }
  // A socket that goes with its page, and a document that is left.
  await say('done');
})();
</script>`;

after(tearDown);

for (const io of await availableExecutors()) {
  describe(`a browser through Sluice on ${io}`, { skip: lackingChromium }, () => {
    it('hears events; what it aborts ends at the endpoint', async () => {
      const said: string[] = [];
      const left = new Set<string>();
      const arrived = new Set<string>();
      let eventsOpen = 0;
      const slow = (name: string, response: ServerResponse): void => {
        arrived.add(name);
        response.once('close', () => left.add(name));
        if (name === 'streams') response.write('x'.repeat(1000));
      };
      const server = createServer((asked, response) => {
        const [, first, second = ''] = (asked.url ?? '/').split(/[/?]/);
        asked.resume();
        switch (first) {
          case 'events':
            eventsOpen++;
            response.writeHead(200, { 'content-type': 'text/event-stream' });
            for (let i = 0; i < 3; i++) response.write(`data: ${i}\n\n`);
            response.once('close', () => eventsOpen--);
            return;
          case 'slow':
            asked.once('end', () => slow(second, response));
            return;
          case 'arrived':
            void eventually(() => arrived.has(second), second).then(() => response.end());
            return;
          case 'say':
            said.push(second);
            response.end();
            return;
          default:
            response.setHeader('content-type', 'text/html');
            response.end(PAGE);
        }
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const sluice = await startEdge(io, [`127.0.0.1:${(server.address() as AddressInfo).port}`], {
        listener: 'detect',
      });
      const browser = openPage(`http://127.0.0.1:${sluice.port('edge')}/`);
      try {
        await eventually(() => said.includes('done'), `the page is done (${said.join(', ')})`, 30_000);
        // The page waits for nothing: what it left has ended before it could say much more.
        await eventually(
          () => left.size === 3 && eventsOpen === 0,
          `all has ended at the endpoint: ${[...left].join(', ')}`,
        );
        assert.equal(await sluice.metric('sluice_endpoint_failures_total'), 0);
      } finally {
        await browser.close();
        server.closeAllConnections();
        server.close();
        await sluice.stop();
      }
    });
  });
}
