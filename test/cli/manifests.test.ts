// Where manifests come from, and how several become one text that kubectl takes.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { flagAnnotations, ignoredFlags, injectOptions } from '../../src/cli/inject-flags.js';
import { type Format, written } from '../../src/cli/manifest-output.js';
import { manifestsFrom } from '../../src/cli/manifest-sources.js';
import { parseArguments } from '../../src/cli/usage.js';
import { ManifestProblem, objectsOf, readManifest } from '../../src/inject/manifests.js';
import { type PlainMap, valueAt, withEntries } from '../../src/inject/plain.js';

const pod = (name: string): string => `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\n`;
const json = (name: string): string => `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "${name}"}}`;

/** What is wrong with a source; its objects' names where nothing is. */
async function read(source: string): Promise<string> {
  try {
    const manifests = await manifestsFrom(source, Readable.from([]));
    return manifests
      .flatMap(objectsOf)
      .map(({ value }) => valueAt(value, ['metadata', 'name']))
      .join();
  } catch (error) {
    if (error instanceof ManifestProblem) return error.message;
    throw error;
  }
}

describe('a folder of manifests', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-manifests-'));
  const inFolder = (name: string): string => join(folder, name);
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('is read with what is below it, by name, and without what is something else', async () => {
    mkdirSync(inFolder('all/folder.yaml'), { recursive: true });
    writeFileSync(inFolder('all/b.YML'), pod('b'));
    writeFileSync(inFolder('all/notes.txt'), '{');
    writeFileSync(inFolder('all/folder.yaml/a.json'), json('a'));
    symlinkSync('b.YML', inFolder('all/c.yaml'));
    assert.equal(await read(inFolder('all')), 'b,b,a');
  });

  it('says which of its files is not there, is no manifest, or is nothing', async () => {
    mkdirSync(inFolder('gone'));
    symlinkSync('nowhere', inFolder('gone/a.yaml'));
    assert.match(await read(inFolder('gone')), /gone\/a\.yaml: cannot be read: ENOENT$/);
    mkdirSync(inFolder('values'));
    writeFileSync(inFolder('values/values.yaml'), 'replicas: 3\n');
    assert.match(
      await read(inFolder('values')),
      /values\.yaml: document 1, line 1: is not a Kubernetes object: it has no apiVersion$/,
    );
    mkdirSync(inFolder('empty'));
    assert.match(await read(inFolder('empty')), /empty: has no files that end in/);
    assert.match(await read(inFolder('nowhere')), /nowhere: cannot be read: ENOENT$/);
  });
});

describe('an address of a manifest', () => {
  const answers: Readonly<Record<string, readonly [number, Record<string, string>, string]>> = {
    '/pod': [200, {}, pod('web')],
    '/moved': [302, { location: '/pod' }, ''],
    '/round': [302, { location: '/round' }, ''],
    '/file': [302, { location: 'file:///etc/hostname' }, ''],
    '/page': [200, { 'content-type': 'text/html; charset=utf-8' }, '<!DOCTYPE html>'],
    '/gone': [410, {}, 'x'.repeat(100_000)],
    '/zipped': [200, { 'content-encoding': 'gzip' }, 'no zip'],
    '/half': [200, { 'content-length': '1000' }, pod('half')],
  };
  const asked: (string | undefined)[] = [];
  let server: Server;
  let base = '';
  before(async () => {
    server = createServer(({ url = '', headers }, response) => {
      asked.push(headers.authorization);
      const [status, fields, body] = answers[url];
      response.writeHead(status, fields);
      if (url === '/half') response.write(body, () => response.destroy());
      else response.end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => server.close());

  it('is fetched, also where it has moved', async () => {
    for (const path of ['/pod', '/moved']) assert.equal(await read(base + path), 'web');
    assert.equal(await read(`${base.toUpperCase()}/pod`), 'web');
  });

  it('is named with what is wrong', async () => {
    const wrong: Readonly<Record<string, RegExp>> = {
      '/round': /cannot be fetched: redirect count exceeded$/,
      '/file': /cannot be fetched: URL scheme must be/,
      '/page': /is a page for people \(text\/html\); name the address of the file itself$/,
      '/gone': /is answered with 410 Gone$/,
      '/zipped': /cannot be fetched: incorrect header check$/,
      '/half': /cannot be fetched: /,
    };
    for (const [path, message] of Object.entries(wrong)) {
      const said = await read(base + path);
      assert.match(said, message);
      assert.ok(said.startsWith(base + path), said);
    }
    assert.match(await read('ftp://example.org/a.yaml'), /^ftp:.*write http:\/\/ or https:\/\//);
    assert.equal(await read('http://'), 'http://: is not an address');
  });

  it('shows its password to nobody but the server', async () => {
    asked.length = 0;
    const withPassword = base.replace('//', '//some%40one:secret@');
    assert.equal(await read(`${withPassword}/pod`), 'web');
    assert.deepEqual(asked, [`Basic ${Buffer.from('some@one:secret').toString('base64')}`]);
    assert.doesNotMatch(await read(`${withPassword}/gone`), /secret/);
    assert.match(await read(`${base.replace('//', '//%:secret@')}/pod`), /cannot be fetched: URI malformed$/);
  });
});

describe('several manifests', () => {
  const change = (object: PlainMap): PlainMap => withEntries(object, ['metadata'], { labels: 'l' });
  const one = (texts: readonly string[], format: Format = null): string =>
    written(
      texts.map((text) => readManifest(text, 'a')),
      format,
      change,
    );
  const names = (text: string): unknown[] =>
    objectsOf(readManifest(text, 'b')).map(({ value }) => [
      valueAt(value, ['metadata', 'name']),
      valueAt(value, ['metadata', 'labels']),
    ]);
  const all = (...from: string[]): unknown[] => from.map((name) => [name, 'l']);

  it('are one text, of YAML or of JSON, in which each is what it was', () => {
    const sources = [
      pod('a'),
      json('b'),
      `\ufeff${pod('c').trimEnd()}`,
      `---\n${pod('d')}---\n`,
      `${json('e')}\n${json('f')}`,
      '# none\n',
    ];
    for (let bits = 1; bits < 1 << sources.length; bits++) {
      const some = sources.filter((_, index) => (bits & (1 << index)) !== 0);
      const expected = some
        .flatMap((text) => objectsOf(readManifest(text, 'a')))
        .map(({ value }) => valueAt(value, ['metadata', 'name']) as string);
      for (const format of [null, 'yaml', 'json'] as const) {
        const text = one(some, format);
        assert.deepEqual(names(text), all(...expected), text);
        assert.ok(text.lastIndexOf('\ufeff') <= 0);
        // What begins with a brace is JSON to its end.
        if (/^\s*\{/.test(text)) assert.notEqual(readManifest(text, 'b').json, null, text);
      }
    }
  });

  it('stay JSON, and nothing but JSON, where all are', () => {
    assert.equal(one([json('a')]), json('a').replace('{"name"', '{"labels": "l", "name"'));
    assert.doesNotMatch(one([json('a'), `\n${json('b')}${json('c')}`]), /---/);
    assert.deepEqual(names(one([pod('a'), '{apiVersion: v1, kind: Pod, metadata: {name: b}}'], 'json')), all('a', 'b'));
    assert.doesNotMatch(one(['{apiVersion: v1, kind: Pod, metadata: {name: b}}'], 'json'), /apiVersion: /);
  });
});

describe('options of linkerd inject', () => {
  const given = (...args: string[]): ReturnType<typeof parseArguments>['values'] =>
    parseArguments(args, injectOptions, 0).values;

  it('are all taken', () => {
    const flags = `enable-debug-sidecar close-wait-timeout=1s proxy-image=a proxy-version=1 image-pull-policy=Always init-image=a init-image-version=1
      inbound-port=1 outbound-port=2 control-port=3 admin-port=4 skip-inbound-ports=5 skip-outbound-ports=6 opaque-ports=7 proxy-uid=8 proxy-gid=9
      proxy-log-level=info proxy-cpu-request=1 proxy-cpu-limit=1 proxy-memory-request=1Mi proxy-memory-limit=1Mi enable-external-profiles
      default-inbound-policy=deny native-sidecar=true wait-before-exit-seconds=1`;
    const values = given(
      ...flags
        .trim()
        .split(/\s+/)
        .map((flag) => `--${flag}`),
    );
    assert.equal(Object.keys(flagAnnotations(values)).length, 20);
    assert.equal(ignoredFlags(values).length, 5);
  });

  it('that are lists may be given in parts', () => {
    const values = given(
      '--opaque-ports',
      '4406,25',
      '--opaque-ports=mysql',
      '--skip-subnets',
      '10.0.0.0/8',
      '--skip-subnets',
      'fd00::/8',
    );
    assert.deepEqual(flagAnnotations(values), {
      'config.linkerd.io/opaque-ports': '4406,25,mysql',
      'config.linkerd.io/skip-subnets': '10.0.0.0/8,fd00::/8',
    });
    assert.throws(() => given('--proxy-uid=1', '--proxy-uid=2'), /--proxy-uid is given twice/);
  });

  it('are named where their values are wrong', () => {
    const wrong: Readonly<Record<string, RegExp>> = {
      '--opaque-ports=70000': /^UsageError: --opaque-ports: "70000" is not a port/,
      '--skip-outbound-ports=http': /^UsageError: --skip-outbound-ports: "http": these are ports of other hosts/,
      '--opaque-ports=,,': /^UsageError: --opaque-ports: ",," has no entries/,
      '--inbound-port=4140': /^UsageError: --inbound-port: two of the ports/,
      '--proxy-image=a b': /^UsageError: --proxy-image: "a b" is not an image name/,
      '--wait-before-exit-seconds=1.5': /^UsageError: --wait-before-exit-seconds: "1\.5" is not a whole number/,
    };
    for (const [flag, message] of Object.entries(wrong)) assert.throws(() => flagAnnotations(given(flag)), message);
  });
});
