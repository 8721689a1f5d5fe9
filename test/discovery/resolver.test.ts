import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { DEFAULT_TTL_MS, DnsEndpointResolver, unique } from '../../src/discovery/resolver.js';
import { addressText } from '../../src/discovery/text.js';
import { type DnsServer, startDnsServer } from './dns-server.js';

describe('an endpoint is resolved', () => {
  let server: DnsServer;
  let resolver: DnsEndpointResolver;
  let hosts: Record<string, readonly string[]>;

  before(async () => {
    server = await startDnsServer({});
  });
  after(() => server.close());
  beforeEach(() => {
    server.questions.length = 0;
    hosts = {};
    resolver = new DnsEndpointResolver(
      () => server.client,
      async (name) => {
        if (hosts[name] === undefined)
          throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' });
        return hosts[name];
      },
    );
  });

  const dns = async (name: string, port = 80) => {
    const resolution = await resolver.resolve({ kind: 'dns', name, port });
    return { ...resolution, addresses: resolution.addresses.map(addressText) };
  };
  const srv = async (name: string) => {
    const resolution = await resolver.resolve({ kind: 'srv', name });
    return { ...resolution, addresses: resolution.addresses.map(addressText) };
  };

  it('to itself where it is an address', async () => {
    assert.deepEqual((await dns('10.0.0.2')).addresses, ['10.0.0.2:80']);
    assert.deepEqual(server.questions, []);
  });

  it('to its A and AAAA records, sorted, with the lowest TTL', async () => {
    server.zone = { 'web.example': { ttl: 7, a: ['10.0.0.2', '10.0.0.1', '10.0.0.2'], aaaa: ['2001:db8::1'] } };
    assert.deepEqual(await dns('web.example'), {
      addresses: ['10.0.0.1:80', '10.0.0.2:80', '[2001:db8::1]:80'],
      ttlMs: 7000,
      unknownFamilies: [],
    });
  });

  it('to one family where the other has no records', async () => {
    server.zone = { 'four.example': { a: ['10.0.0.1'] }, 'six.example': { aaaa: ['2001:db8::1'] } };
    assert.deepEqual((await dns('four.example')).addresses, ['10.0.0.1:80']);
    assert.deepEqual((await dns('six.example.')).addresses, ['[2001:db8::1]:80']);
  });

  it('to what is known where the server fails for one family, and says which', async () => {
    server.zone = { 'web.example': { a: ['10.0.0.1'], aaaa: 'fail' } };
    const { addresses, unknownFamilies } = await dns('web.example');
    assert.deepEqual(addresses, ['10.0.0.1:80']);
    assert.deepEqual(unknownFamilies, [6]);
  });

  it('by the system where the DNS does not know the name', async () => {
    hosts = { 'only-in-hosts': ['10.0.0.9'] };
    assert.deepEqual(await dns('only-in-hosts'), { addresses: ['10.0.0.9:80'], ttlMs: null, unknownFamilies: [] });
  });

  it('without asking the DNS where it is localhost, to one loopback address', async () => {
    hosts = { localhost: ['::1', '127.0.0.1'] };
    assert.deepEqual((await dns('localhost')).addresses, ['127.0.0.1:80']);
    assert.deepEqual(server.questions, []);
  });

  it("by the real system's lookup", async () => {
    const real = new DnsEndpointResolver(() => server.client);
    const { addresses } = await real.resolve({ kind: 'dns', name: 'localhost', port: 80 });
    assert.equal(addresses.length, 1);
  });

  it('to an error that names the cause where nobody knows it', async () => {
    server.zone = { 'broken.example': { a: 'fail', aaaa: 'fail' } };
    await assert.rejects(dns('absent.example'), { code: 'ENOTFOUND' });
    await assert.rejects(dns('broken.example'), { code: 'ESERVFAIL' });
  });

  it('to the targets of the most preferred SRV records, with their ports', async () => {
    server.zone = {
      '_http._tcp.web.example': {
        srv: [
          { target: 'b.example', port: 8002, priority: 10 },
          { target: 'a.example', port: 8001, priority: 10 },
          { target: 'spare.example', port: 8003, priority: 20 },
        ],
      },
      'a.example': { ttl: 3, a: ['10.0.0.1'] },
      'b.example': { ttl: 30, a: ['10.0.0.2'], aaaa: ['2001:db8::2'] },
      'spare.example': { a: ['10.0.0.3'] },
    };
    assert.deepEqual(await srv('_http._tcp.web.example'), {
      addresses: ['10.0.0.1:8001', '10.0.0.2:8002', '[2001:db8::2]:8002'],
      ttlMs: 3000,
      unknownFamilies: [],
    });
    server.zone['a.example'].ttl = 300;
    assert.equal((await srv('_http._tcp.web.example')).ttlMs, DEFAULT_TTL_MS);
  });

  it('to the SRV targets that have an address', async () => {
    server.zone = {
      '_x._tcp.example': {
        srv: [
          { target: 'gone.example', port: 1 },
          { target: 'a.example', port: 2 },
        ],
      },
      'a.example': { a: ['10.0.0.1'] },
    };
    const { addresses, unknownFamilies } = await srv('_x._tcp.example');
    assert.deepEqual(addresses, ['10.0.0.1:2']);
    assert.deepEqual(unknownFamilies, [], 'a target that is gone is not unknown');
    server.zone['gone.example'] = { a: 'fail', aaaa: 'fail' };
    assert.deepEqual((await srv('_x._tcp.example')).unknownFamilies, [4, 6]);
  });

  it('to an error where the SRV record has no targets with addresses, or says that there is no service', async () => {
    server.zone = {
      '_x._tcp.example': { srv: [{ target: 'gone.example', port: 1 }] },
      '_none._tcp.example': { srv: [{ target: '.', port: 0 }] },
    };
    await assert.rejects(srv('_x._tcp.example'), /none of the targets has an address: gone\.example/);
    await assert.rejects(srv('_none._tcp.example'), /not offered/);
    await assert.rejects(srv('_absent._tcp.example'), { code: 'ENOTFOUND' });
  });
});

describe('a set of addresses', () => {
  it('is sorted by host and port, each once', () => {
    const list = [
      { host: '10.0.0.2', port: 80 },
      { host: '10.0.0.1', port: 443 },
      { host: '10.0.0.1', port: 80 },
      { host: '10.0.0.2', port: 80 },
    ];
    assert.deepEqual(unique(list).map(addressText), ['10.0.0.1:80', '10.0.0.1:443', '10.0.0.2:80']);
  });
});
