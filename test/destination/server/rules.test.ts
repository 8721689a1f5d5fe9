// Rules of the mesh for whoever a certificate is for, to the official client of gRPC.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { decodeRules } from '../../../src/destination/rules-message.js';
import { DestinationClient, MadeUpCluster, type Served, serveDestinations } from '../../support/destination.js';
import { MadeUpRules } from '../../support/made-up-rules.js';
import { type Certified, meshName, Pki } from '../../support/pki.js';

describe('rules of the mesh from a controller', () => {
  const rules = new MadeUpRules();
  const name = meshName('destination');
  let pki: Pki;
  let open: Served;
  let mutual: Served;
  before(async () => {
    pki = await Pki.make();
    const mine = await pki.leaf({ dns: [name] });
    const tls = { cert: mine.chain, key: mine.key, ca: pki.anchor };
    open = await serveDestinations(new MadeUpCluster(), { rules });
    mutual = await serveDestinations(new MadeUpCluster(), { rules, tls });
    rules.rule('test', 'web', { key: 'test.web', json: '{"default":"deny"}' });
    rules.rule('test', '', { key: 'test', json: '{"default":"audit"}' });
  });
  after(async () => {
    await open.server.close();
    await mutual.server.close();
  });

  const as = ({ chain, key }: Certified): DestinationClient =>
    new DestinationClient(mutual.port, { cert: chain, key, ca: pki.anchor, name });

  it('are those of the account that the certificate is for, whatever the caller says', async () => {
    const client = as(await pki.workload('web'));
    const stream = client.rules({ ns: 'elsewhere' });
    await stream.until(({ messages }) => messages.length === 1, 'the rules');
    assert.deepEqual(decodeRules(stream.messages[0]), { key: 'test.web', json: '{"default":"deny"}' });
    rules.rule('test', 'web', null);
    await stream.until(({ messages }) => messages.length === 2, 'that there are none');
    assert.equal(decodeRules(stream.messages[1]), null);
    client.close();
  });

  it('are none of a certificate that says no account', async () => {
    const client = as(await pki.leaf({ dns: ['web.example'] }));
    const stream = client.rules({ ns: 'test' });
    await stream.until(({ messages }) => messages.length === 1, 'an answer');
    assert.equal(decodeRules(stream.messages[0]), null);
    client.close();
  });

  it('are those of the namespace that the caller names, in plain text', async () => {
    const client = new DestinationClient(open.port);
    const stream = client.rules({ ns: 'test' });
    await stream.until(({ messages }) => messages.length === 1, 'the rules');
    assert.deepEqual(decodeRules(stream.messages[0]), { key: 'test', json: '{"default":"audit"}' });
    client.close();
  });

  it('are not known to a server without them', async () => {
    const { server, port } = await serveDestinations(new MadeUpCluster());
    const client = new DestinationClient(port);
    assert.match(await client.rules().end(), /^UNIMPLEMENTED/);
    client.close();
    await server.close();
  });
});
