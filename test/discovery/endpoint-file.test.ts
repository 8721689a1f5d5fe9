import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ConfigError, formatProblem } from '../../src/config/problem.js';
import { endpointAt } from '../../src/discovery/endpoint.js';
import { parseEndpointFile, selectList } from '../../src/discovery/endpoint-file.js';
import { FileProblem, readFile } from '../../src/discovery/read-file.js';
import { addressText } from '../../src/discovery/text.js';
import { scratchDirectory } from './scratch.js';

const scratch = scratchDirectory();

/** The list of a file, or one of its lists, as text. */
function list(text: string, key: string | null = null): string {
  const found = selectList(parseEndpointFile('f', text), key);
  return typeof found === 'string' ? found : found.map(({ address }) => addressText(address)).join(' ');
}

function problems(text: string): string[] {
  try {
    parseEndpointFile('f', text);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems.map(formatProblem);
  }
  return [];
}

describe('a file of endpoints', () => {
  it('is a list, a map with endpoints, or a map of lists, in YAML or JSON', () => {
    assert.equal(list('- 10.0.0.1:80\n- "[::1]:81"\n'), '10.0.0.1:80 [::1]:81');
    assert.equal(list('["10.0.0.1:80"]'), '10.0.0.1:80');
    assert.equal(list('[ 10.0.0.1:80, # YAML\n 10.0.0.2:80 ]'), '10.0.0.1:80 10.0.0.2:80');
    assert.equal(list('endpoints:\n  - 10.0.0.1:80\n'), '10.0.0.1:80');
    assert.equal(list('{ "endpoints": [{"address": "10.0.0.1:80"}] }'), '10.0.0.1:80');
    assert.equal(list('\uFEFF{ "endpoints": [] }'), '');
    const map = 'web:\n- 10.0.0.1:80\nendpoints:\n- 10.0.0.2:80\nnone: []\n';
    assert.equal(list(map, 'web'), '10.0.0.1:80');
    assert.equal(list(map), '10.0.0.2:80');
    assert.equal(list(map, 'none'), '');
    assert.equal(list('[]'), '');
  });

  it('may tell more of an endpoint than its address', () => {
    const text = `
- address: "[2001:DB8::1]:80"
  weight: 3
  zone: eu-1a
  protocol: http2
  identity: spiffe://example/web
  metadata: { version: 7, canary: true, note: "a b" }
`;
    assert.deepEqual(selectList(parseEndpointFile('f', text), null), [
      endpointAt(
        { host: '2001:db8::1', port: 80 },
        {
          weight: 3,
          zone: 'eu-1a',
          protocol: 'http2',
          identity: 'spiffe://example/web',
          metadata: { version: '7', canary: 'true', note: 'a b' },
        },
      ),
    ]);
  });

  it('says which list is meant where that is not clear', () => {
    assert.equal(list('a: []\nb: []\n'), 'has several lists; name one with key: a, b');
    assert.equal(list('a: []\nweb: []\n', 'wep'), 'has no list "wep"; did you mean "web"?');
    assert.equal(list('- 10.0.0.1:80\n', 'web'), 'has one list without a name, so that there is no "web"; remove key');
    assert.equal(list('{}'), 'has no list; write one with an address a line');
    const many = Array.from({ length: 5000 }, (_, i) => `s${i}: []\n`).join('');
    assert.equal(list(many, 'web'), 'has no list "web"; there are s0, s1, s2 and 4997 more');
  });

  it('is refused for a mistake, with its line and key', () => {
    const cases: [string, string | RegExp][] = [
      ['', 'f:1:1: is empty; write [] for no endpoints'],
      ['# nothing\n', 'f:1:1: is empty; write [] for no endpoints'],
      ['- 10.0.0.1:80\n- 10.0.0.1:0\n', 'f:2:3: [1]: "0" is not a port; write a number from 1 to 65535'],
      ['a:\n- 10.0.0.1\n', 'f:2:3: a[0]: "10.0.0.1" has no port; write "10.0.0.1:8080"'],
      ['- web.example:80\n', 'f:1:3: [0]: "web.example" is not a numeric address; write one such as "10.0.0.1:80"'],
      ['- "10.0.0.300:80"\n', /^f:1:3: \[0\]: "10\.0\.0\.300" is not a numeric address/],
      ['- "::1:80"\n', /put the IPv6 address in brackets/],
      ['- ":80"\n', /has no host/],
      ['- 80\n', /^f:1:3: \[0\]: 80 has no host; write an address and a port/],
      ['- [10.0.0.1:80]\n', /^f:1:3: \[0\]: found a list; write "10\.0\.0\.1:80"/],
      ['- 10.0.0.1:80\n- 10.0.0.1:80\n', 'f:2:3: [1]: "10.0.0.1:80" is listed twice, first as [0]; remove one'],
      [
        '- "[::1]:80"\n- { address: "[0::1]:80" }\n',
        'f:2:3: [1]: "[0::1]:80" is listed twice, first as [0]; remove one',
      ],
      ['- { weight: 1 }\n', 'f:1:3: [0]: has no address; add one, such as address: "10.0.0.1:80"'],
      [
        '- address: 10.0.0.1:80\n  weight: 0\n',
        /^f:2:\d+: \[0\]\.weight: found 0; write a whole number from 1 to 65535$/,
      ],
      ['- { address: 10.0.0.1:80, wieght: 2 }\n', /\[0\]\.wieght: unknown key; did you mean "weight"\?$/],
      [
        '- { address: 10.0.0.1:80, protocol: h2 }\n',
        /\[0\]\.protocol: "h2" is unknown; expected one of http1, http2, opaque, auto$/,
      ],
      ['- { address: 10.0.0.1:80, zone: "a b" }\n', /\[0\]\.zone: "a b" is not a valid name/],
      ['- { address: 10.0.0.1:80, identity: "" }\n', /\[0\]\.identity: found ""; write a name/],
      ['- { address: 10.0.0.1:80, metadata: [a] }\n', /\[0\]\.metadata: found a list; write a map/],
      ['- { address: 10.0.0.1:80, metadata: { a: { b: 1 } } }\n', /\[0\]\.metadata: "a" has a map; write text$/],
      ['web: 5\n', 'f:1:6: web: found 5; write a list such as ["10.0.0.1:80"], or [] for no endpoints'],
      ['text\n', /^f:1:1: found "text"; write a list/],
      ['a:\n- 10.0.0.1:80\na:\n- 10.0.0.2:80\n', 'f:3:1: a: is written twice, first on line 1; keep one'],
      ['- "10.0.0.1:80\n', /^f:\d:\d+: is not valid YAML: Missing closing "quote/],
      ['[\n "10.0.0.1:80",\n "10.0.0.1:x"\n]', 'f:3:2: [1]: "x" is not a port; write a number from 1 to 65535'],
      ['{"web": ["10.0.0.1:80", {"address": "10.0.0.1:80"}]}', /^f:1:25: web\[1\]: "10\.0\.0\.1:80" is listed twice/],
      ['["10.0.0.1:80"', /^f:1:\d+: is not valid YAML/],
    ];
    for (const [text, expected] of cases) {
      const [first = ''] = problems(text);
      if (typeof expected === 'string') assert.equal(first, expected, text);
      else assert.match(first, expected, text);
    }
  });

  it('lists the first mistakes of many', () => {
    const lines = problems(Array.from({ length: 1000 }, () => '- 10.0.0.1:0\n').join(''));
    assert.equal(lines.length, 21);
    assert.equal(lines[20], 'f: 980 more mistakes');
    assert.equal(lines[19], 'f:20:3: [19]: "0" is not a port; write a number from 1 to 65535');
  });

  it('may be long, but not in YAML that takes long to read', () => {
    const plain = Array.from({ length: 300_000 }, (_, i) => `- 10.${i >> 16}.${(i >> 8) & 255}.${i & 255}:80\n`).join(
      '',
    );
    const lists = parseEndpointFile('f', plain);
    assert.equal(lists.only?.length, 300_000);
    assert.match(
      problems(`${plain}- &a "10.1.1.1:81"\n`)[0],
      /^f:1:1: has more than 256KiB of YAML, which takes long to read; write JSON/,
    );
  });

  it('does no harm where it is nested without end', () => {
    for (const text of ['['.repeat(100_000), '{"a":'.repeat(50_000), '- '.repeat(50_000), `- ${'['.repeat(100_000)}`]) {
      assert.ok(problems(text).length > 0);
    }
  });
});

describe('the reading of a file', () => {
  const MAX = 2 ** 20;
  const problem = (path: string, maxBytes = MAX): string => {
    try {
      readFile(path, maxBytes);
    } catch (error) {
      assert.ok(error instanceof FileProblem, String(error));
      return error.message;
    }
    return '';
  };

  it('gives its text, and a signature that changes with it', () => {
    const path = scratch.file('text', 'é\n');
    const first = readFile(path, MAX);
    assert.equal(first.text, 'é\n');
    assert.equal(readFile(path, MAX).signature, first.signature);
    writeFileSync(path, 'longer\n');
    assert.notEqual(readFile(path, MAX).signature, first.signature);
    assert.equal(readFile(scratch.file('empty', ''), MAX).text, '');
    assert.equal(readFile('/proc/sys/kernel/ostype', MAX).text, 'Linux\n', 'a file of /proc says that it is empty');
  });

  it('refuses what is no file without waiting for it', () => {
    assert.match(problem(scratch.path('missing')), /^does not exist; create it, or correct the path$/);
    mkdirSync(scratch.path('directory'));
    assert.match(problem(scratch.path('directory')), /^is a directory; name the file in it$/);
    assert.match(problem(`${scratch.file('plain', '')}/below`), /^is inside something that is not a directory/);
    assert.equal(spawnSync('mkfifo', [scratch.path('pipe')]).status, 0);
    assert.match(problem(scratch.path('pipe')), /^is a device, a pipe or a socket; name a regular file$/);
    assert.match(problem('/dev/zero'), /^is a device/);
    symlinkSync('loop', scratch.path('loop'));
    assert.match(problem(scratch.path('loop')), /^is a symbolic link that leads back to itself/);
  });

  it('refuses what is too large before it is read', () => {
    const path = scratch.file('huge', '');
    truncateSync(path, 100 * 2 ** 20);
    const before = process.memoryUsage().arrayBuffers;
    assert.match(
      problem(path, 16 * 2 ** 20),
      /^has 100MiB, more than discovery\.maxFileSize \(16MiB\); divide it, or raise the limit$/,
    );
    assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 20);
    assert.match(
      problem('/proc/self/maps', 100),
      /more than discovery\.maxFileSize \(100\)/,
      'its size is known only when it is read',
    );
    assert.equal(readFile(scratch.file('exact', 'x'.repeat(100)), 100).text.length, 100);
  });

  it('refuses what is not a string', () => {
    writeFileSync(scratch.path('latin1'), Buffer.from('- "10.0.0.1:80" # caf\xe9\n', 'latin1'));
    assert.match(problem(scratch.path('latin1')), /^is not UTF-8 text; save it as UTF-8$/);
  });

  it('says who may not read it', { skip: process.getuid?.() === 0 ? 'root may read everything' : false }, () => {
    const path = scratch.file('secret', '');
    chmodSync(path, 0);
    assert.match(problem(path), /^may not be read by this user; give it read permission$/);
  });
});
