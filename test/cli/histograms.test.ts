// `sluice histograms`, asked of an admin port: what it prints and writes, and what it says of ports, files and disks that are not right.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { histogramsCommand } from '../../src/cli/histograms.js';
import { EXIT_FAILURE, EXIT_USAGE, UsageError } from '../../src/cli/usage.js';
import { parseHgrm } from '../../src/histograms/hgrm-file.js';
import { parseLog } from '../../src/histograms/log-file.js';
import { WIRE_FORMAT } from '../../src/histograms/wire.js';
import { inherited } from '../support/sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const TEST_MS = 170_000;
const directory = mkdtempSync(join(tmpdir(), 'sluice-histograms-'));

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `during` is called with what has been printed, again and again. */
async function run(
  args: readonly string[],
  during: (child: ReturnType<typeof spawn>, out: string) => void = () => {},
): Promise<Ran> {
  const child = spawn(process.execPath, [MAIN, 'histograms', ...args], { cwd: directory, env: inherited() });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    during(child, stdout);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, stdout, stderr };
}

/** How a call that is refused ends, in this process: its exit code, and what is said. */
async function refusal(args: readonly string[]): Promise<[status: number, said: string]> {
  const [first, ...rest] = args;
  const { commands = [] } = histogramsCommand;
  const command = await commands.find(({ name }) => name === first)?.load();
  try {
    await (command === undefined ? histogramsCommand.run(args) : command.run(rest));
  } catch (error) {
    assert.ok(error instanceof Error);
    return [error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE, error.message];
  }
  return [0, ''];
}

const LABELS = { direction: 'outbound', service: 'web' };
let asked = 0;
/** A proxy on which the same comes again before each question: two of 1 ms, one of 20 ms. */
const answer = (): object => {
  asked++;
  const latency = { name: 'response_latency_us', unit: 'microseconds', labels: LABELS };
  const [count, sum, buckets] = [3 * asked, 22_000 * asked, [1000, 2 * asked, 19_968, asked]];
  return {
    format: WIRE_FORMAT,
    version: 1,
    significantDigits: 2,
    startMs: 1_700_000_000_000,
    endMs: 1_700_000_000_000 + asked * 1000,
    histograms: [
      { ...latency, id: 'service.web.response_latency_us', kind: 'service', count, sum, buckets },
      { ...latency, id: 'route.web.read.success.response_latency_us', kind: 'route', count, sum, buckets },
    ],
  };
};

let proxy: Server;
let page: () => { status: number; body: string };
let from: readonly string[];
before(async () => {
  proxy = createHttpServer((_, response) => {
    const { status, body } = page();
    response.writeHead(status, { connection: 'close' }).end(body);
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  from = ['--from', `127.0.0.1:${(proxy.address() as AddressInfo).port}`];
});
after(() => {
  proxy.close();
  rmSync(directory, { recursive: true, force: true });
});
const usual = (): void => {
  asked = 0;
  page = () => ({ status: 200, body: JSON.stringify(answer()) });
};
const SERVICE = 'service.web.response_latency_us';

describe('sluice histograms', { timeout: TEST_MS, concurrency: false }, () => {
  it('shows all of them as a table, and some in each format', async () => {
    usual();
    const { status, stdout } = await run(from);
    assert.equal(status, 0);
    assert.match(
      stdout,
      /^ +count +mean +p50 +p90 +p99 +p99\.9 +max\nservice\.web\.response_latency_us +3 +7\.33 ms +1 ms +20\.1 ms/,
    );
    assert.equal(stdout.trimEnd().split('\n').length, 3);

    const json = JSON.parse((await run([...from, '--format', 'json', 'route.*'])).stdout);
    assert.equal(json.histograms.length, 1);
    assert.equal(json.histograms[0].percentiles.p50, 1003);
    const csv = (await run([...from, '--format', 'csv', SERVICE])).stdout.trimEnd().split('\n');
    assert.equal(csv.length, 2);
    assert.match(
      csv[1],
      /^2023-11-14T22:13:20\.000Z,.*,service\.web\.response_latency_us,microseconds,9,1000,7333\.333,1003,/,
    );
    const text = (await run([...from, '--format', 'prometheus', SERVICE])).stdout;
    assert.match(text, /^# TYPE sluice_service_response_latency_seconds histogram$/m);
    assert.match(
      text,
      /^sluice_service_response_latency_seconds_bucket\{direction="outbound",service="web",le="0\.001"\} 8$/m,
    );
    assert.match(text, /^sluice_service_response_latency_seconds_count\{.*\} 12$/m);
    const { points } = parseHgrm((await run([...from, '--format', 'hgrm', SERVICE])).stdout, 'stdout');
    assert.ok(Math.abs(points[points.length - 1][1] - 20) < 0.2);
  });

  it('writes the differences of intervals as a log', async () => {
    usual();
    const file = join(directory, 'a.hlog');
    const { status } = await run([
      ...from,
      '--format',
      'log',
      '--interval',
      '100ms',
      '--count',
      '3',
      '--out',
      file,
      SERVICE,
    ]);
    assert.equal(status, 0);
    const recordings = parseLog(readFileSync(file, 'utf8'), file);
    assert.deepEqual(
      recordings.map(({ startMs, endMs, histograms }) => [endMs - startMs, histograms[0].histogram.totalCount]),
      [
        [1000, 3],
        [1000, 3],
        [1000, 3],
      ],
    );
    const merged = await run(['merge', '--format', 'table', file, file]);
    assert.match(merged.stdout, /service\.web\.response_latency_us +18 /);
    const again = await run([...from, '--format', 'log', '--out', file]);
    assert.deepEqual([again.status, /a\.hlog exists; add --force to overwrite it/.test(again.stderr)], [2, true]);
    assert.equal((await run([...from, '--format', 'log', '--out', file, '--force'])).status, 0);
    // Where nothing comes nothing is lost, and no file is left behind that would be in the way.
    const before = readFileSync(file, 'utf8');
    const nobody = ['--from', '127.0.0.1:9', '--format', 'log', '--out'];
    assert.equal((await run([...nobody, file, '--force'])).status, 1);
    assert.equal(readFileSync(file, 'utf8'), before);
    assert.equal((await run([...nobody, 'none.hlog'])).status, 1);
    assert.equal(existsSync(join(directory, 'none.hlog')), false);
  });

  it('ends at Ctrl-C with what has come until then', async () => {
    usual();
    let stopped = false;
    const { status, stdout } = await run([...from, '--format', 'json', '--interval', '100ms'], (child, out) => {
      if (stopped || out.split('\n').length < 3) return;
      stopped = true;
      child.kill('SIGINT');
    });
    assert.equal(status, 0);
    for (const line of stdout.trimEnd().split('\n')) assert.equal(JSON.parse(line).histograms[0].count, 3);
  });

  it('goes on when the proxy does not answer for a while', async () => {
    usual();
    let questions = 0;
    page = () => (++questions === 2 ? { status: 503, body: 'later' } : { status: 200, body: JSON.stringify(answer()) });
    const { status, stdout, stderr } = await run([
      ...from,
      '--format',
      'csv',
      '--interval',
      '100ms',
      '--count',
      '3',
      SERVICE,
    ]);
    assert.equal(status, 0);
    assert.match(stderr, /answers 503 \(later\).*; trying again\n.*it answers again/);
    assert.equal(stdout.trimEnd().split('\n').length, 3);
  });

  it('writes a .hgrm for each into a directory, and draws them', async () => {
    usual();
    const several = await run([...from, '--format', 'hgrm']);
    assert.deepEqual([several.status, /name one ID, or --out DIRECTORY\//.test(several.stderr)], [1, true]);
    assert.equal((await run([...from, '--format', 'hgrm', '--out', 'all/'])).status, 0);
    const files = readdirSync(join(directory, 'all'));
    assert.deepEqual(files.sort(), ['route.web.read.success.response_latency_us.hgrm', `${SERVICE}.hgrm`]);
    const svg = await run(['plot', ...files.map((file) => join('all', file))]);
    assert.equal(svg.status, 0);
    assert.match(svg.stdout, /^<svg [\s\S]*90 %[\s\S]*service\.web\.response_latency_us[\s\S]*<\/svg>\n$/);
    assert.equal((await run(['plot', '--out', 'p.html', '--title', 'a <b>', join('all', files[0])])).status, 0);
    assert.match(readFileSync(join(directory, 'p.html'), 'utf8'), /<title>a &#60;b&#62;<\/title>/);
    const merge = await run(['merge', join('all', files[0])]);
    assert.deepEqual([merge.status, /a \.hgrm has percentiles and no values/.test(merge.stderr)], [1, true]);
  });

  it('writes no files, and says so, while nothing has been recorded', async () => {
    page = () => ({ status: 200, body: JSON.stringify({ ...answer(), histograms: [] }) });
    const { status, stderr } = await run([...from, '--format', 'hgrm', '--out', 'none/']);
    assert.deepEqual([status, stderr], [0, 'nothing has been recorded yet: no files are written\n']);
    assert.equal(existsSync(join(directory, 'none')), false);
  });

  it('says what is wrong with a port', async () => {
    const bytes = createServer(
      (socket) =>
        void socket
          .on('error', () => undefined)
          .resume()
          .end('+PONG\r\n'),
    );
    await once(bytes.listen(0, '127.0.0.1'), 'listening');
    const { port } = bytes.address() as AddressInfo;
    const said = (...args: string[]) => refusal(args);
    const [status, stderr] = await said('--from', `127.0.0.1:${port}`);
    assert.equal(status, 1);
    assert.match(stderr, /does not speak HTTP, so it is not a proxy's admin port/);
    bytes.close();
    await once(bytes, 'close');
    assert.match(
      (await said('--from', `127.0.0.1:${port}`))[1],
      /nothing listens at 127\.0\.0\.1:\d+; is the proxy running/,
    );
    for (const [answer, why] of [
      [{ status: 404, body: 'no such page' }, /answers 404 \(no such page\): is it the admin port/],
      [{ status: 200, body: '<html>' }, /is not a list of histograms \(<html>\)/],
      [{ status: 200, body: '{"histograms":[{"id":1}]}' }, /is not a list of histograms/],
      [{ status: 400, body: 'format "full" is not known' }, /of a version that does not give out histograms in full/],
    ] as const) {
      page = () => answer;
      const [code, text] = await said(...from);
      assert.equal(code, 1);
      assert.match(text, why);
    }
    usual();
    assert.match(
      (await said(...from, 'service.wep.response_latency_us'))[1],
      /no histogram service\.wep.*; did you mean/i,
    );
  });

  it('says what is wrong with its arguments, and exits with 2', async () => {
    for (const [args, why] of [
      [['--format', 'xml'], /--format: there is no "xml"; there are table, hgrm, log/],
      [['--format', 'otlp'], /add --out http:\/\/HOST:4318/],
      [['--format', 'otlp', '--out', 'collector:4318'], /not the address of a collector/],
      [['--format', 'log', '--out', 'http://c:4318'], /only --format otlp goes to a collector/],
      [['--interval', '10'], /--interval: 10 has no unit|--interval: "10" is not a duration/],
      [['--count', '3'], /--count needs --interval/],
      [['--interval', '1s', '--count', '0'], /not a whole number from 1/],
      [['--format', 'hgrm', '--interval', '1s'], /a \.hgrm is one distribution, and has no intervals/],
      [['--from', 'x'], /--from: /],
      [['merge'], /which logs\?/],
      [['merge', '--format', 'otlp', 'a'], /--format: there is no "otlp"/],
      [['plot', '--out', 'x.png', 'a'], /the name must end in \.svg or \.html/],
    ] as const) {
      const [status, said] = await refusal(args);
      assert.equal(status, 2, said);
      assert.match(said, why);
    }
  });

  it('loses nothing on a full disk', { skip: !existsSync('/dev/full') && 'no /dev/full' }, async () => {
    usual();
    const { status, stdout, stderr } = await run([...from, '--format', 'csv', '--out', '/dev/full', SERVICE]);
    assert.equal(status, 1);
    assert.match(stderr, /cannot write \/dev\/full: the disk is full \(ENOSPC\); here it is instead:/);
    assert.match(stdout, /,service\.web\.response_latency_us,/);
    assert.match(
      (await run([...from, '--out', 'no/such/file'])).stderr,
      /cannot write no\/such\/file: there is no such directory/,
    );
  });

  it('says what is wrong with files', async () => {
    const file = (name: string, content: string | Buffer): string => {
      writeFileSync(join(directory, name), content);
      return name;
    };
    for (const [name, why] of [
      ['missing.hlog', /missing\.hlog: there is no such file/],
      [file('empty.hlog', ''), /it is empty/],
      [file('zip.hlog', Buffer.from([0x1f, 0x8b, 8])), /compressed with gzip/],
      [file('some.hlog', 'Dear reader'), /neither a log of HdrHistogram nor a \.hgrm/],
      [file('old.hlog', `#[Histogram log format version 1.1]\n0.1,1.0,2.0,${OLD}\n`), /old\.hlog:2: .*version V1/],
    ] as const) {
      const [status, said] = await refusal(['merge', join(directory, name)]);
      assert.equal(status, 1);
      assert.match(said, why);
    }
  });
});

/** What HdrHistogram wrote before V2: the cookie is enough. */
const OLD = Buffer.from([0x1c, 0x84, 0x93, 0x22, 0, 0, 0, 0]).toString('base64');
