// The image: what its Containerfile copies is there, and suffices for all commands, by its user, without capabilities, on a root that
// nobody can write.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { page, repository } from '../docs/fences.js';
import { copies, Image, stagesOf, textOf } from '../support/containerfile.js';
import { ControllerFiles } from '../support/controller.js';
import { eventually } from '../support/sluice.js';

const TEXT = page('k8s/Containerfile');
const stages = stagesOf(TEXT);

describe('the Containerfile', () => {
  it('builds in two stages, of which the last has what the first has made', () => {
    assert.deepEqual(
      stages.map(({ name }) => name),
      ['build', ''],
    );
    const given = copies(stages[0]).flatMap(({ sources }) => sources);
    for (const source of given) assert.ok(existsSync(repository(source)), source);
    const made = ['build/Release/sluice.node', 'node_modules', 'dist'];
    for (const { from, sources } of copies(stages[1])) {
      assert.equal(from, 'build');
      for (const source of sources) {
        const path = source.slice(`${textOf(stages[0], 'WORKDIR')}/`.length);
        assert.ok(given.includes(path) || made.includes(path), source);
      }
    }
  });

  it('sends the builder no more than that', () => {
    const [all, ...kept] = page('k8s/Containerfile.dockerignore').trim().split('\n').slice(1);
    assert.equal(all, '*');
    assert.deepEqual(
      kept.sort(),
      copies(stages[0])
        .flatMap(({ sources }) => sources.map((source) => `!${source}`))
        .sort(),
    );
  });

  it('compiles with what it copies: nothing imports from elsewhere', () => {
    for (const folder of ['src', 'workers'])
      for (const file of readdirSync(repository(folder), { recursive: true, encoding: 'utf8' })) {
        if (!file.endsWith('.ts')) continue;
        const url = repository(`${folder}/${file}`);
        for (const [, path] of readFileSync(url, 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']*)'/g)) {
          const target = fileURLToPath(new URL(path, url)).slice(fileURLToPath(repository('.')).length);
          assert.match(target, /^(src|workers)\//, `${folder}/${file}`);
        }
      }
  });

  it('is of the newest Node.js with long-term support, on any machine', () => {
    assert.match(TEXT, /^ARG NODE=26-/m);
    for (const { base } of stages) assert.equal(base, 'node:$' + '{NODE}');
    assert.doesNotMatch(TEXT.replaceAll(/^#.*$/gm, ''), /amd64|x86|arm64|aarch64/);
  });
});

const trial = spawnSync('unshare', ['--mount', 'true'], { encoding: 'utf8' });
const lacking = trial.status === 0 ? false : `mount namespaces are not to be had: ${trial.stderr ?? trial.error}`;

interface Line {
  readonly message: string;
  readonly listeners?: readonly string[];
  readonly adminPort?: number;
}

/** A program of the image. */
class Running {
  readonly lines: Line[] = [];
  readonly #chunks: string[] = [];
  readonly #closed: Promise<unknown>;

  constructor(private readonly child: ChildProcess) {
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => this.#chunks.push(text));
    this.#closed = once(child, 'close');
  }

  get said(): string {
    return this.#chunks.join('');
  }

  /** The first line with this message. */
  async logged(message: string): Promise<Line> {
    let found: Line | undefined;
    const look = (): boolean => {
      if (this.child.exitCode !== null) throw new Error(this.said);
      const lines = this.said.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
      found = lines.map((line) => JSON.parse(line) as Line).find((line) => line.message === message);
      return found !== undefined;
    };
    await eventually(look, `${message} in ${this.said}`, 120_000);
    return found ?? { message };
  }

  async ended(): Promise<number | null> {
    await this.#closed;
    return this.child.exitCode;
  }

  stop(): Promise<number | null> {
    this.child.kill('SIGTERM');
    return this.ended();
  }
}

describe('the image', { skip: lacking }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-image-'));
  let image: Image;
  const start = (args: readonly string[] | null, folders: Record<string, string> = {}): Running =>
    new Running(image.start(image.command(args), folders));

  before(() => {
    image = new Image(join(directory, 'root'), TEXT);
  });
  after(() => rmSync(directory, { recursive: true }));

  it('runs as its user, who can write nothing and has no capability', async () => {
    const script = `for f in /sluice/x /tmp/x /usr/local/x /x; do (: >$f) 2>/dev/null && echo wrote $f; done; id -u; id -g; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status`;
    const shell = new Running(image.start(['sh', '-c', script]));
    assert.equal(await shell.ended(), 0, shell.said);
    assert.deepEqual(shell.said.trim().split(/\s+/), [
      ...['2102', '2102', 'CapEff:', '0000000000000000', 'CapBnd:', '0000000000000000', 'NoNewPrivs:', '1'],
    ]);
  });

  it('says its version, also by its name', async () => {
    const { version } = JSON.parse(page('package.json')) as { version: string };
    for (const running of [start(['version']), new Running(image.start(['sluice', 'version']))]) {
      assert.equal(await running.ended(), 0, running.said);
      assert.match(running.said, new RegExp(`^sluice ${version.replaceAll('.', '\\.')}`));
    }
  });

  it('says which rules it would lay', async () => {
    const running = start(['init', '--simulate']);
    assert.equal(await running.ended(), 0, running.said);
    assert.match(running.said, /--uid-owner 2102/);
  });

  it('proxies by the configuration that is mounted where it looks for one', async () => {
    const server = createServer((_request, response) => response.end('served')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const etc = join(directory, 'etc');
    mkdirSync(etc, { mode: 0o755 });
    const { port } = server.address() as AddressInfo;
    const yaml = `admin: { listen: "127.0.0.1:0" }\nlisteners: [{ name: in, listen: "127.0.0.1:0", service: app }]\nservices: { app: { endpoints: ["127.0.0.1:${port}"] } }\n`;
    writeFileSync(join(etc, 'sluice.yaml'), yaml);
    const proxy = start(null, { '/etc/sluice': etc });
    try {
      const { listeners = [] } = await proxy.logged('accepting');
      const listening = listeners[0].slice(listeners[0].lastIndexOf(':') + 1);
      const response = await fetch(`http://127.0.0.1:${listening}/`, { headers: { connection: 'close' } });
      assert.equal(await response.text(), 'served');
    } finally {
      assert.equal(await proxy.stop(), 0, proxy.said);
      server.close();
    }
  });

  it('is the controller', async () => {
    const files = new ControllerFiles(join(directory, 'mesh'));
    // A volume's files are the pod's group to read.
    execFileSync('chown', ['-R', textOf(stages[1], 'USER'), files.directory]);
    const listen = ['identity-listen', 'destination-listen', 'injector-listen', 'admin'];
    const ports = listen.flatMap((name) => [`--${name}`, '127.0.0.1:0']);
    const moved = files.arguments.map((text) => text.replace(files.directory, '/etc/mesh'));
    const controller = start(['controller', ...ports, ...moved], { '/etc/mesh': files.directory });
    try {
      const { adminPort } = await controller.logged('controller started');
      await controller.logged('all parts have begun');
      assert.equal((await fetch(`http://127.0.0.1:${adminPort}/ready`)).status, 200);
    } finally {
      assert.equal(await controller.stop(), 0, controller.said);
    }
  });
});
