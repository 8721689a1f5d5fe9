// `sluice bench run` as it is called: what it prints and writes, and what it says of wrong calls and of trouble.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { HistogramLogReader } from 'hdr-histogram-js';
import { LiveLine } from '../../src/cli/live-line.js';
import { loadOptions, parseLoadOptions } from '../../src/cli/load-options.js';
import { meaningOf, summaryOf } from '../../src/cli/load-summary.js';
import { firstListening } from '../../src/cli/load-targets.js';
import { parseArguments } from '../../src/cli/usage.js';
import type { LoadResult } from '../../src/load/result.js';
import { runLoad } from '../../src/load/run.js';
import { ERROR_KINDS } from '../../src/load/tally.js';
import { http2Server, httpServer, type Listening, loadPlan, target, tcpServer } from '../support/load.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `started` is called with a way to interrupt it. */
function sluice(
  args: readonly string[],
  started: (interrupt: (signal?: NodeJS.Signals) => void) => void = () => undefined,
): Promise<Ran> {
  const child = spawn(process.execPath, [MAIN, 'bench', 'run', ...args]);
  started((signal = 'SIGINT') => child.kill(signal));
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

describe('sluice bench run', () => {
  let directory = '';
  let server: Listening;
  let url = '';
  let asked = (): void => undefined;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'sluice-bench-run-'));
    server = await httpServer((_, response) => {
      asked();
      response.end('hello');
    });
    url = `http://127.0.0.1:${server.port}/`;
  });
  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });

  // Fewer requests than connections: all of them can be sent, however slow this machine is.
  const SHORT = ['--rate', '100', '-d', '300ms', '--warm-up', '0'];

  it('runs without /proc, and in a directory that has been removed', {
    skip: spawnSync('unshare', ['-m', 'true']).status !== 0 && 'may not mount',
  }, () => {
    const there = 'mount -t tmpfs none /proc && d=$(mktemp -d) && cd "$d" && rmdir "$d" && exec "$0" "$@"';
    const args = ['-m', 'sh', '-c', there, process.execPath, MAIN, 'bench', 'run', url, '-c', '2', '-d', '300ms'];
    // Not the synchronous one: the server is in this process.
    return new Promise<void>((resolve, reject) => {
      const child = spawn('unshare', args, { stdio: ['ignore', 'ignore', 'pipe'] });
      let text = '';
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`${code}: ${text}`))));
    });
  });

  it('prints what came of it, and writes it to files', async () => {
    const [json, hgrm, log] = ['out.json', 'out.hgrm', 'out.hlog'].map((name) => join(directory, name));
    const ran = await sluice([...SHORT, '--json', json, '--hgrm', hgrm, '--log', log, url]);
    assert.equal(ran.stderr, '');
    assert.equal(ran.code, 0);
    assert.match(ran.stdout, /requests +30$/m);
    assert.match(ran.stdout, /wanted +100\/s$/m);
    assert.match(ran.stdout, /^No errors\.$/m);
    assert.match(ran.stdout, /^ {2}p90 +[\d.]+ (µs|ms|s)$/m);
    const written: unknown = JSON.parse(readFileSync(json, 'utf8'));
    assert.ok(isRecord(written) && isRecord(written.result));
    assert.equal(written.result.done, 30);
    assert.match(readFileSync(hgrm, 'utf8'), /#\[Max .*Total count\s+= +30\]/s);
    const reader = new HistogramLogReader(readFileSync(log, 'utf8'));
    let count = 0;
    for (let next = reader.nextIntervalHistogram(); next !== null; next = reader.nextIntervalHistogram())
      count += next.totalCount;
    assert.equal(count, 30);
  });

  it('says when a rate could not be had, and what was reached', async () => {
    const silent = await tcpServer((socket) => {
      // Each is answered when the next one is due long since.
      socket.on('data', () => setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), 5));
    });
    const slow = `http://127.0.0.1:${silent.port}/`;
    const ran = await sluice(['-r', '20k', '-c', '1', '-d', '300ms', '--warm-up', '0', '-o', 'json', slow]);
    await silent.close();
    assert.equal(ran.code, 3, ran.stderr);
    assert.match(ran.stderr, /The rate was not reached: .* of 20,000\/s/);
    const written: unknown = JSON.parse(ran.stdout);
    assert.ok(isRecord(written) && isRecord(written.result));
    assert.equal(Number(written.result.done) + Number(written.result.unsent), 6000);
  });

  it('has figures of a rate that the warm-up could not have either', async () => {
    const slow = await httpServer((_, response) => setTimeout(() => response.end(), 5));
    const ran = await sluice(
      ['-r', '20k', '-c', '1', '-d', '300ms', '--warm-up', '300ms'].concat(`http://127.0.0.1:${slow.port}/`),
    );
    await slow.close();
    assert.equal(ran.code, 3, ran.stdout);
    assert.match(ran.stdout, /requests +[1-9]/);
  });

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    it(`told to stop by ${signal} reports what it has measured`, async () => {
      let left = 50;
      const ran = await sluice(['-d', '10m', '--warm-up', '0', url], (interrupt) => {
        asked = () => {
          if (--left === 0) interrupt(signal);
        };
      });
      assert.equal(ran.code, 130, ran.stderr);
      assert.match(ran.stdout, /^Measured [\d.]+ s, then it was stopped\.$/m);
      assert.match(ran.stdout, /requests +[\d,]+$/m);
    });

  it('told to stop while it connects has measured no time', async () => {
    let connected = (): void => undefined;
    const silent = await tcpServer(() => connected());
    const ran = await sluice([`https://127.0.0.1:${silent.port}/`], (interrupt) => {
      connected = () => {
        connected = () => undefined;
        interrupt();
      };
    });
    await silent.close();
    assert.equal(ran.code, 130, ran.stderr);
    assert.match(ran.stdout, /^Stopped before it measured\.$/m);
  });

  it('told to stop at its end does not wait for what is under way', async () => {
    const silent = await tcpServer((socket) => socket.resume());
    const ending = new AbortController();
    const result = await runLoad(
      loadPlan([target(silent.port)], { pace: { kind: 'constant', rate: 100 }, seconds: 0.1 }),
      ({ phase }) => {
        if (phase === 'finishing') ending.abort();
      },
      ending.signal,
    );
    await silent.close();
    assert.equal(result.interrupted, true);
    // Else they would have been waited for until they had taken too long.
    assert.deepEqual(result.errors, {});
  });

  it('loses nothing where the disk is full', async () => {
    const ran = await sluice([...SHORT, '--json', '/dev/full', url]);
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /cannot write \/dev\/full: the disk is full \(ENOSPC\); here it is instead:/);
    const written: unknown = JSON.parse(ran.stdout.slice(ran.stdout.indexOf('{')));
    assert.ok(isRecord(written) && isRecord(written.result));
    assert.equal(written.result.done, 30);
  });

  it('tells its result on the standard error where the standard output takes no more', async () => {
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [MAIN, 'bench', 'run', ...SHORT, url], { stdio: ['ignore', full, 'pipe'] });
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    closeSync(full);
    assert.equal(code, 1);
    assert.match(stderr, /cannot write to the standard output: the disk is full .*requests +30$/ms);
  });

  it('shows what came of a server that speaks first, or says something else', async () => {
    const speaks = await tcpServer((socket) => socket.end('SSH-2.0-old\r\n'));
    const first = await sluice(['-c', '2', '-d', '100ms', '--warm-up', '0', `http://127.0.0.1:${speaks.port}/`]);
    await speaks.close();
    assert.equal(first.code, 1);
    // It may have been asked before it spoke.
    assert.match(first.stderr + first.stdout, /"SSH-2\.0-old\\r\\n"/);
    assert.doesNotMatch(first.stderr, /\(\)/);
    const odd = await tcpServer((socket) => socket.on('data', () => socket.write('what?\r\n\r\n')));
    const other = await sluice(['-c', '2', '-d', '100ms', '--warm-up', '0', `http://127.0.0.1:${odd.port}/`]);
    await odd.close();
    assert.equal(other.code, 1);
    assert.match(other.stdout, /what came was no answer\n +"what\?\\r\\n\\r\\n"$/m);
    assert.match(other.stderr, /nothing was answered; the errors say why/);
  });

  it('says how connections fail that are ended before anything is asked', async () => {
    const ends = await tcpServer((socket) => socket.end());
    const ran = await sluice(['-c', '2', '-d', '100ms', '--warm-up', '0', `tcp://127.0.0.1:${ends.port}`]);
    await ends.close();
    assert.equal(ran.code, 1);
    assert.match(ran.stderr + ran.stdout, /closed|reset/);
    assert.doesNotMatch(ran.stderr, /\(\)/);
  });

  it('says that nothing was asked of a server that allows no streams', async () => {
    const none = await http2Server(() => undefined, { settings: { maxConcurrentStreams: 0 } });
    const args = ['-c', '1', '-d', '100ms', '--warm-up', '0', '--http2', `http://127.0.0.1:${none.port}/`];
    const ran = await sluice(args);
    await none.close();
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /nothing was answered: .*may allow no streams/);
  });

  it('says before it begins that there may not be as many files', () => {
    const command = `ulimit -n 500; exec "$0" "$@"`;
    const args = ['-c', command, process.execPath, MAIN, 'bench', 'run', '-c', '450', url];
    const { status, stderr } = spawnSync('sh', args, { encoding: 'utf8' });
    assert.equal(status, 1);
    assert.match(
      stderr,
      /--connections 450: this process may have 500 files open; raise that \(ulimit -n 514\), or ask/,
    );
  });

  it('of several addresses of a name takes the first that listens', async () => {
    assert.equal(await firstListening(['127.0.0.2', '127.0.0.1'], server.port), '127.0.0.1');
    assert.equal(await firstListening(['127.0.0.2', '127.0.0.3'], server.port), '127.0.0.2');
  });

  it('overwrites no file unasked', async () => {
    const file = join(directory, 'mine');
    writeFileSync(file, 'mine');
    const ran = await sluice([...SHORT, '--hgrm', file, url]);
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, /mine exists; add --force to overwrite it/);
    assert.equal(readFileSync(file, 'utf8'), 'mine');
    const missing = await sluice([...SHORT, '--hgrm', join(directory, 'no', 'file'), url]);
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /cannot write .*file: there is no such directory \(ENOENT\)$/m);
  });

  it('sends what is in a file, and shows nothing of it', async () => {
    const file = join(directory, 'body');
    writeFileSync(file, '{"a":"file"}');
    const bodies = new Set<string>();
    const server = await httpServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      request.on('end', () => {
        bodies.add(`${request.method} ${body}`);
        response.end();
      });
    });
    const ran = await sluice([...SHORT, '--body-file', file, '-o', 'json', `http://127.0.0.1:${server.port}/`]);
    await server.close();
    assert.equal(ran.code, 0, ran.stderr);
    assert.deepEqual([...bodies], ['POST {"a":"file"}']);
    const { plan } = JSON.parse(ran.stdout) as { readonly plan: Readonly<Record<string, unknown>> };
    assert.deepEqual([plan.bodyBytes, 'body' in plan], [12, false]);
  });

  it('says what is wrong with a server that cannot be had', async () => {
    const gone = await tcpServer(() => undefined);
    await gone.close();
    const refused = await sluice([`http://127.0.0.1:${gone.port}/`]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /none of 64 connections could be made \(64 × refused\)/);
    const nameless = await sluice(['http://nowhere.invalid/']);
    assert.equal(nameless.code, 1);
    assert.match(nameless.stderr, /cannot resolve nowhere\.invalid: /);
  });
});

describe('options of sluice bench run', () => {
  const load = (...args: string[]) => parseLoadOptions(parseArguments(args, loadOptions, 64));
  const URL = 'http://127.0.0.1:1/';

  it('make a plan', () => {
    const { plan, weights } = load(
      '-r',
      '1.5k',
      '-H',
      'A: b, c',
      '-H',
      'd:e',
      '--body',
      '1KiB',
      '-c9',
      '--weights',
      '2,1',
      URL,
      URL,
    );
    assert.deepEqual(plan.pace, { kind: 'constant', rate: 1500 });
    assert.deepEqual(plan.headers, [
      ['a', 'b, c'],
      ['d', 'e'],
    ]);
    assert.equal(plan.method, 'POST');
    assert.equal(plan.bodyBytes, 1024);
    assert.equal(plan.connections, 9);
    assert.deepEqual(weights, [2, 1]);
    assert.equal(load('--steps', '1k:2s,2k:3s', URL).plan.seconds, 5);
    assert.deepEqual(load('--rate', '5', '--poisson', '--seed', '3', URL).plan.pace, {
      kind: 'poisson',
      rate: 5,
      seed: 3,
    });
  });

  for (const [args, complaint] of [
    [[], /which server\? write a URL/],
    [['127.0.0.1:80'], /is not a URL|a URL begins with one of/],
    [['ftp://127.0.0.1/'], /a URL begins with one of/],
    [['http://me:secret@127.0.0.1/'], /no credentials in a URL/],
    [['--rate', 'fast', URL], /--rate: "fast" is not a rate; write requests a second, such as/],
    [['--duration', '30', URL], /--duration: .*write one number and one of the units/],
    [['--rate', '1k', '--steps', '1k:1s', URL], /--rate and --steps: give one of them/],
    [['--rate', '1k', '--think', '1s', URL], /--think is for connections that wait/],
    [['--poisson', URL], /at which rate\? add --rate/],
    [['--steps', '1k:1s', '-d', '2s', URL], /the steps say how long/],
    [['-c', '0', URL], /--connections: .*write a whole number from 1/],
    [['-c', '1', '-t', '2', URL], /each needs a connection/],
    [['-c', '1', URL, 'http://127.0.0.1:2/'], /there are 2 servers to connect to/],
    [['--weights', '1', URL, URL], /1 weights for 2 URLs/],
    [['--weights', '1,0', URL, URL], /a weight is a whole number/],
    [['-H', 'nonsense', URL], /write NAME: VALUE/],
    [['-H', 'a: b\r\nc: d', URL], /control characters/],
    [['-X', 'GET /', URL], /is not a method/],
    [['-X', 'CONNECT', URL], /tunnels are not measured/],
    [['--body', 'big', URL], /--body: .*write a size such as/],
    [['--io', 'select', URL], /--io: "select" is unknown/],
    [['--rat', '1', URL], /unknown option --rat/],
    [['--streams', '2', URL], /one request at a time on a connection; add --http2/],
    [['--http2', 'grpc://a:1/b/c'], /--http2 is for http/],
    [['grpc://a/b/c'], /has no port/],
    [['--bulk', URL], /--bulk is for tcp/],
    [['--bulk', '-r', '5', 'tcp://a:1'], /--rate: --bulk moves as much as it can/],
    [['tcp://a'], /has no port/],
    [['--messages', URL], /--messages is for grpc/],
    [['--call', 'client', URL], /--call is for grpc/],
    [['--call', 'both', 'grpc://a:1/b/c'], /--call: "both" is unknown/],
    [['--call', 'bidi', '--messages', 'grpc://a:1/b/c'], /--call and --messages: give one of them/],
    [['--call-messages', '3', 'grpc://a:1/b/c'], /--call-messages is for --call client, server and bidi/],
    [['--call', 'bidi', '--call-messages', '0', 'grpc://a:1/b/c'], /--call-messages: .*write a whole number from 1/],
    [['--body', '1', '--body-file', 'x', URL], /--body and --body-file: give one of them/],
    [['--body-file', '/nowhere/body', URL], /--body-file \/nowhere\/body: .*no such file/],
    [['--body-file', '/tmp', URL], /--body-file \/tmp: .*EISDIR/],
    [['--body-file', '/dev/null', 'tcp://a:1'], /--body-file \/dev\/null is empty: there is nothing to send/],
    [['--insecure', URL], /--insecure is for TLS/],
    [['--insecure', '--ca', 'ca.pem', 'https://a/'], /--insecure and --ca: either all certificates are good/],
    [['--ca', 'ca.pem', URL], /--ca is for TLS/],
    [['--cert', 'a.pem', 'https://a/'], /give both, or none/],
    [['--ca', '/nowhere/ca.pem', 'https://a/'], /--ca \/nowhere\/ca\.pem: there is no such file/],
    [['--ca', '/dev/null', 'https://a/'], /there is no certificate in it \(PEM\)/],
    [['https://a/', 'https://b/'], /add --server-name/],
    [['https://a/', 'http://a/'], /URLs of several protocols/],
  ] as const)
    it(`${JSON.stringify(args)} is refused`, () => {
      assert.throws(() => load(...args), { name: 'UsageError', message: complaint });
    });
});

describe('on a narrow terminal', () => {
  it('a summary fits in 40 columns', () => {
    const none = { unit: 'us', v2: '', count: 0, sum: 0 } as const;
    const text = summaryOf(loadPlan([], { protocol: 'grpc-bidi' }), {
      startedAt: 0,
      seconds: 86_400,
      done: 12_345_678_901,
      bytesRead: 1e15,
      bytesWritten: 1e15,
      wantedRate: 100_000_000,
      unsent: 12_345_678_901,
      errors: Object.fromEntries(ERROR_KINDS.map((kind) => [kind, 12_345_678_901])),
      unexpected: '\0'.repeat(64),
      goaway: 'INADEQUATE_SECURITY',
      statuses: { 500: 12_345_678_901 },
      connectionsOpened: 12_345_678_901,
      pauses: 12_345_678_901,
      latency: none,
      service: none,
      connect: none,
      messages: { sent: 12_345_678_901, received: 12_345_678_901, latency: none },
      intervals: [],
      cpu: { userUs: 1, systemUs: 1 },
      interrupted: true,
    });
    for (const line of text.split('\n')) assert.ok(line.length <= 40, line);
    assert.match(text, /^ {4}"\\x00\\x00.*…"$/m);
    assert.ok(ERROR_KINDS.every((kind) => meaningOf(kind) !== kind));
  });

  it('a summary of gRPC has the names of its statuses, and one of a bulk transfer octets', () => {
    const none = { unit: 'us', v2: '', count: 0, sum: 0 } as const;
    const result: LoadResult = {
      startedAt: 0,
      seconds: 2,
      done: 4e9,
      bytesRead: 0,
      bytesWritten: 4e9,
      wantedRate: null,
      unsent: 0,
      errors: { status: 7 },
      statuses: { 2: 7 },
      connectionsOpened: 1,
      latency: none,
      service: none,
      connect: none,
      intervals: [],
      cpu: { userUs: 1000, systemUs: 1000 },
      interrupted: false,
    };
    const grpc = summaryOf(loadPlan([], { protocol: 'grpc' }), result);
    assert.match(grpc, /calls that were not OK.*Answers:\n {2}2 +7\n {4}UNKNOWN$/s);
    const bulk = summaryOf(loadPlan([], { protocol: 'tcp-bulk' }), { ...result, errors: {}, statuses: {} });
    assert.match(bulk, /octets +4\.00 GB\n {2}rate +2\.00 GB\/s\n.*own CPU +500 µs per GB/s);
  });

  it('a live line shows what fits, and is taken away; elsewhere there is none', () => {
    const written: string[] = [];
    const line = new LiveLine({ isTTY: true, columns: 20, write: (text) => written.push(text) });
    line.show(['1:00 left', '10,000/s', 'p99 1.2 ms']);
    line.clear();
    line.clear();
    assert.deepEqual(written, ['\r\x1b[2K1:00 left  10,000/s', '\r\x1b[2K']);
    const silent = new LiveLine({ write: () => assert.fail('nothing is to be written') });
    silent.show(['1:00 left']);
    silent.clear();
  });
});
