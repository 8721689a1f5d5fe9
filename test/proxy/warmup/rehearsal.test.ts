import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadConfig } from '../../../src/config/load.js';
import { native } from '../../../src/io/native.js';
import { W } from '../../../src/metrics/layout.js';
import { allocateWorkerMemory } from '../../../src/metrics/shared.js';
import { LOAD_BOARD, type ServiceSettings, type WorkerTask } from '../../../src/proxy/snapshot.js';
import { wholeMessage } from '../../../src/proxy/warmup/peers.js';
import { connected, Octets } from '../../../src/proxy/warmup/pipes.js';
import { rehearse } from '../../../src/proxy/warmup/rehearsal.js';
import { Traffic } from '../../../src/proxy/warmup/traffic.js';
import { warmUp } from '../../../src/proxy/warmup/warm-up.js';
import { Snapshots } from '../../../src/supervisor/snapshots.js';

const directory = mkdtempSync(join(tmpdir(), 'sluice-'));
const file = join(directory, 'sluice.yaml');
writeFileSync(
  file,
  'listeners: [{ name: edge, listen: "127.0.0.1:0", service: one }]\nservices: { one: { endpoints: ["127.0.0.1:1"] } }\n',
);
const config = loadConfig(file, {});
rmSync(directory, { recursive: true });
const settings = Snapshots.prototype.warmup.call(undefined as never, config);
/** Fewer than a rehearsal takes before objects have got their shapes. */
const FEW = 96;
const AMPLE = { cpuMs: 60_000, wallMs: 60_000 };

/** As much of a task as a rehearsal looks at. */
function task(warmup: ServiceSettings | null = settings, ...protocols: string[]): WorkerTask {
  const services = protocols.map((protocol) => ({ config: { protocol } }));
  const { limits, coalesceUs, metrics, destinations } = config;
  const snapshot = {
    limits,
    coalesceUs,
    maxIdentities: metrics.maxIdentities,
    resolveTimeoutMs: destinations.resolveTimeoutMs,
    destinationIdleMs: destinations.idleTimeoutMs,
    maxDestinations: destinations.max,
    possibleNames: [],
    services,
  };
  const loadBoard = new SharedArrayBuffer(LOAD_BOARD.SIZE * 4);
  return {
    workers: 1,
    io: 'epoll',
    memory: allocateWorkerMemory(8),
    loadBoard,
    warmup,
    snapshot,
  } as unknown as WorkerTask;
}

describe('a rehearsal', () => {
  it('takes each request through all four combinations of versions, and bytes through the relay', async () => {
    assert.ok(settings !== null);
    for (const protocols of [[], ['auto'], ['http1'], ['http2', 'http2'], ['http1', 'http2']]) {
      const own = task(settings, ...protocols);
      const { requests, pieces, listeners } = await rehearse(own, native(), settings, { ...AMPLE, requests: 200 });
      assert.ok(requests >= 200, `${requests} requests`);
      assert.ok(pieces > 0, `${pieces} pieces`);
      for (const [listener, count] of listeners.entries()) assert.ok(count > 0, `${protocols}: listener ${listener}`);
    }
  });

  it('keeps to the version that all endpoints of the configuration speak, mostly', async () => {
    assert.ok(settings !== null);
    const share = async (protocol: string): Promise<number> => {
      const { listeners } = await rehearse(task(settings, protocol), native(), settings, { ...AMPLE, requests: 200 });
      // The first listener speaks HTTP/2 to the second one in any case.
      const all = listeners.reduce((sum, count) => sum + count, 0);
      return listeners[0] / all;
    };
    assert.ok((await share('http1')) < (await share('auto')) / 2);
  });

  it('says once when objects have got their shapes, and leaves V8 as it was', async () => {
    assert.ok(settings !== null);
    let times = 0;
    await rehearse(task(), native(), settings, { ...AMPLE, requests: 200 }, () => times++);
    assert.equal(times, 1);
  });

  it('ends when its time is over, whatever it has got through', async () => {
    assert.ok(settings !== null);
    const { requests } = await rehearse(task(), native(), settings, { cpuMs: 60_000, wallMs: 0, requests: 1e9 });
    assert.ok(requests < 1e9);
    const none = await rehearse(task(), native(), settings, { cpuMs: 0, wallMs: 60_000, requests: 1e9 });
    assert.ok(none.requests < 1e9);
  });

  it('ends when it is hurried', async () => {
    assert.ok(settings !== null);
    const bounds = { ...AMPLE, requests: 1e9, hurried: () => true };
    const { requests } = await rehearse(task(), native(), settings, bounds);
    assert.ok(requests < FEW, `${requests} requests`);
  });

  it('leaves no descriptor behind, and the native module without a ring', async () => {
    assert.ok(settings !== null);
    await rehearse(task(), native(), settings, { ...AMPLE, requests: 50 });
    assert.equal(native().enter(0, 0, 0, 0), -9);
  });
});

describe('a warm-up', () => {
  it('says how long it took, and how many requests it has seen', async () => {
    const own = task();
    const problem = await warmUp(own, native());
    const values = new Float64Array(own.memory.values);
    // On a machine that has no time for it at all there is a problem instead.
    assert.ok(values[W.WARMUP_US] > 0 && (values[W.WARMUP_REQUESTS] > 0 || problem !== undefined));
    const others = values.filter((value, at) => value !== 0 && at !== W.WARMUP_US && at !== W.WARMUP_REQUESTS);
    assert.equal(others.length, 0);
  });

  it('does nothing where there is to be none', async () => {
    const own = task(null);
    assert.equal(await warmUp(own, native()), undefined);
    assert.equal(new Float64Array(own.memory.values)[W.WARMUP_US], 0);
  });

  it('is short, and no failure, when the process is to end', async () => {
    const own = task();
    Atomics.store(new Int32Array(own.loadBoard), LOAD_BOARD.HURRY, 1);
    assert.equal(await warmUp(own, native()), undefined);
    const { [W.WARMUP_REQUESTS]: requests, [W.WARMUP_US]: us } = new Float64Array(own.memory.values);
    assert.ok(requests < FEW, `${requests} requests`);
    // It does not get as far as that, either.
    assert.equal(us, 0);
  });

  it('that fails says why, and does no more harm', async () => {
    const problem = await warmUp(task({} as ServiceSettings), native());
    assert.match(problem ?? '', /./);
  });
});

describe('messages of a rehearsal', () => {
  it('are whole when their last octet is there, and not before', () => {
    const traffic = new Traffic();
    for (let i = 0; i < 64; i++) {
      const request = traffic.request();
      const isHead = request[0] === 0x48;
      for (const message of [request, traffic.response(isHead ? 'HEAD' : '')]) {
        const input = new Octets();
        const bare = isHead && message !== request;
        input.push(message, 0, message.length - 1);
        assert.equal(wholeMessage(input, bare), -1);
        input.push(message, message.length - 1, 1);
        assert.equal(wholeMessage(input, bare), message.length);
      }
    }
  });

  it('differ from each other', () => {
    const traffic = new Traffic();
    const texts = Array.from({ length: 100 }, () => Buffer.from(traffic.request()).toString('latin1'));
    assert.equal(new Set(texts).size, texts.length);
  });
});

describe('connections in memory', () => {
  it('give what was written in order, in whatever pieces it is taken', () => {
    const [near, far] = connected();
    const source = Uint8Array.from({ length: 20_000 }, (_, i) => i & 255);
    const target = new Uint8Array(source.length);
    let [written, read] = [0, 0];
    while (read < source.length) {
      const length = Math.min(3000, source.length - written);
      near.write(source, written, length);
      written += length;
      read += far.input.take(target, read, 1777);
    }
    assert.deepEqual(target, source);
    near.close();
    assert.equal(far.ended, true);
  });
});
