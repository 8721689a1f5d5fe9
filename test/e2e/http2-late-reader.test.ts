// A client that reads late: its endpoint has long finished when the last of a response goes out.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { content, Http2Client, hangUp, http2Endpoint, usual } from '../support/http2.js';
import { availableExecutors, eventually, startSluice } from '../support/sluice.js';

/** More than Node's client takes without reading; the rest fits into what Sluice lets its endpoint send. */
const LENGTH = 100_000;

after(hangUp);

for (const io of await availableExecutors()) {
  test(`what waits for a client's window when its endpoint is done disturbs no connection (${io})`, async (t) => {
    const endpoint = await http2Endpoint(usual('hello'));
    t.after(() => endpoint.close());
    const sluice = await startSluice(
      `listeners: [{ name: edge, listen: "127.0.0.1:0", service: web }]
services: { web: { protocol: http2, endpoints: ["${endpoint.address}"] } }`,
      io,
    );
    t.after(() => sluice.stop());
    const client = await Http2Client.open(sluice.port('edge'));
    const late = client.start({ ':path': `/bytes/${LENGTH}` }, true).pause();
    await eventually(
      async () => (await sluice.metric('response_total', { service: 'web' })) === 1,
      'the endpoint has answered',
    );
    const chunks: Buffer[] = [];
    for await (const chunk of late) chunks.push(chunk as Buffer);
    assert.deepEqual(Buffer.concat(chunks), content(LENGTH));
    assert.equal((await client.ask({ ':path': '/' })).text, 'hello');
    assert.equal(await sluice.metric('tcp_close_total', { errno: 'reset' }), 0);
  });
}
