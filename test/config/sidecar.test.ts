// What `sidecar` stands for.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { expandSidecar } from '../../src/config/sidecar.js';
import { load } from './support.js';

const names = (yaml: string): string[] => load(yaml).listeners.map(({ name }) => name);

describe('sidecar', () => {
  it('is off by default, and leaves the tree alone', () => {
    const tree = { sidecar: { enabled: false }, listeners: [] };
    assert.equal(expandSidecar(tree, true), tree);
    assert.equal(expandSidecar(null, true), null);
    const list = [1];
    assert.equal(expandSidecar(list, true), list);
  });

  it('is the listeners of a proxy in a pod, in IPv4 and IPv6', () => {
    const config = load('sidecar: { enabled: true }');
    const [inbound, outbound] = config.listeners;
    assert.equal(inbound.name, 'inbound');
    assert.equal(inbound.listen.port, 4143);
    assert.equal(inbound.direction, 'inbound');
    assert.equal(inbound.mesh, false);
    assert.deepEqual(outbound.listen, { host: '127.0.0.1', port: 4140 });
    assert.equal(outbound.direction, 'outbound');
    for (const { originalDestination } of config.listeners) assert.equal(originalDestination, true);
    assert.equal(config.admin?.port, 4191);
    assert.equal(config.drain.outbound, 'last');
    const listens = (ipv6: boolean): unknown =>
      (expandSidecar({ sidecar: { enabled: true } }, ipv6) as { listeners: { listen: string }[] }).listeners.map(
        ({ listen }) => listen,
      );
    assert.deepEqual(listens(false), ['0.0.0.0:4143', '127.0.0.1:4140']);
    assert.deepEqual(listens(true), [':4143', '127.0.0.1:4140', '[::1]:4140']);
  });

  it('leaves what the file says', () => {
    const config = load(`
sidecar: { enabled: true, inbound: 5143 }
admin: { listen: "127.0.0.1:5000", shutdown: true }
drain: { outbound: together, grace: 5s }
listeners: [{ name: extra, listen: "127.0.0.1:5001", service: web }]
services: { web: { endpoints: ["127.0.0.1:9"] } }
`);
    assert.deepEqual(config.admin, { host: '127.0.0.1', port: 5000 });
    assert.equal(config.adminShutdown, true);
    assert.deepEqual(config.drain, { holdMs: 2000, graceMs: 5000, outbound: 'together' });
    assert.deepEqual(config.listeners[0].name, 'extra');
    assert.equal(config.listeners[1].listen.port, 5143);
  });

  it('speaks mutual TLS where there is an identity', () => {
    const config = load('sidecar: { enabled: true }\nidentity: { spiffe: { socket: /run/agent.sock } }');
    assert.equal(config.listeners[0].mesh, true);
  });

  it('reports mistakes where they stand', () => {
    assert.throws(() => load('sidecar: { enabled: true, inbound: 70000 }'), /sidecar\.inbound: found 70000/);
    assert.throws(() => load('sidecar: { enabled: true }\nlisteners: 5'), /listeners: found 5/);
    assert.throws(() => load('sidecar: { enabled: true }\nadmin: 5'), /admin: found 5/);
    assert.throws(
      () =>
        names(
          'sidecar: { enabled: true }\nlisteners: [{ name: inbound, listen: "127.0.0.1:1", originalDestination: true }]',
        ),
      /"inbound" is taken by/,
    );
  });
});
