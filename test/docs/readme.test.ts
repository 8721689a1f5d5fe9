// The README is run: its configurations are checked, its commands executed in order, their output compared with what it shows.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.js';
import { freePort } from '../support/servers.js';
import { availableExecutors, eventually, inherited } from '../support/sluice.js';
import { type Fence, fences, page, repository } from './fences.js';

const CLI = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const README = page('README.md');
const BLOCKS = fences(README);
/** Ports that the README uses. */
const PORTS = ['8080', '9001', '9002', '4191', '4140', '4143', '4192', '4193'];
/** Where a program that runs in the background can be reached once it is there, by a word of its command. */
const REACHED: readonly (readonly [string, string])[] = [
  ['far.yaml', '4192'],
  ['near.yaml', '4193'],
  ['npx sluice', '4191'],
  ['', '9002'],
];

const firstYaml = BLOCKS.find(({ info }) => info === 'yaml')?.text ?? '';

/** `…` stands for anything. */
function pattern(line: string): RegExp {
  const parts = line.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 'm');
}

/** The README's directory: its sluice.yaml, and an `npx` that runs the Sluice under test. */
class Desk {
  readonly directory = mkdtempSync(join(tmpdir(), 'sluice-readme-'));
  readonly #running: ChildProcess[] = [];
  readonly #ports: ReadonlyMap<string, number>;
  readonly #io: string;
  log = '';

  constructor(ports: readonly number[], io: string) {
    this.#ports = new Map(PORTS.map((port, index) => [port, ports[index]]));
    this.#io = io;
    const yaml = `admin: { listen: "127.0.0.1:4191" }\n${firstYaml}`;
    writeFileSync(join(this.directory, 'sluice.yaml'), this.moved(yaml));
    // npx finds a command of the directory that it is called in; this directory is not the checkout.
    const npx = `#!/bin/sh\nshift\nexec '${process.execPath}' '${CLI}' "$@"\n`;
    writeFileSync(join(this.directory, 'npx'), npx, { mode: 0o755 });
  }

  /** The text with the README's ports replaced by free ones; a port with its last digit left open loses all of them. */
  moved(text: string): string {
    return text
      .replace(/\b(8080|9001|9002|41[49][0-3])\b/g, (port) => String(this.#ports.get(port)))
      .replaceAll('900…', '…');
  }

  port(port: string): number {
    return this.#ports.get(port) ?? 0;
  }

  #spawn(command: string): ChildProcess {
    const path = `${this.directory}:${join(process.execPath, '..')}:${process.env.PATH}`;
    return spawn('bash', ['-euo', 'pipefail', '-c', this.moved(command)], {
      cwd: this.directory,
      env: { ...inherited(), PATH: path, SLUICE_IO: this.#io, SLUICE_LOG_ACCESS: 'true' },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
  }

  start(command: string): void {
    const child = this.#spawn(command);
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.log += chunk;
    });
    this.#running.push(child);
  }

  /** Runs a command to its end: its output. */
  async run(command: string): Promise<string> {
    const child = this.#spawn(command);
    let output = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
    let errors = '';
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      errors += chunk;
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    assert.equal(code, 0, `${command}\n${output}${errors}`);
    return output.replaceAll('\r\n', '\n');
  }

  async close(): Promise<void> {
    for (const child of this.#running) {
      if (child.pid === undefined || child.exitCode !== null) continue;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      process.kill(-child.pid, 'SIGKILL');
      await gone;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

async function accepts(port: number): Promise<boolean> {
  try {
    await (await fetch(`http://127.0.0.1:${port}/ready`)).text();
    return true;
  } catch {
    return false;
  }
}

function expectOutput(shown: Fence | undefined, output: string, desk: Desk): void {
  if (shown?.info !== 'text') return;
  for (const line of desk.moved(shown.text).split('\n')) {
    assert.match(output, pattern(line), `README.md:${shown.line} shows another output`);
  }
}

for (const io of await availableExecutors()) {
  test(`the commands of the README do what it shows (${io})`, { timeout: 60_000 }, async (t) => {
    const ports: number[] = [];
    while (ports.length < PORTS.length) ports.push(await freePort());
    const desk = new Desk(ports, io);
    t.after(() => desk.close());
    for (const [index, { info, text }] of BLOCKS.entries()) {
      if (info === 'sh test background') {
        desk.start(text);
        const port = REACHED.find(([word]) => text.includes(word))?.[1] ?? '';
        await eventually(() => accepts(desk.port(port)), `${text}\n${desk.log}`);
      } else if (info === 'sh test') expectOutput(BLOCKS[index + 1], await desk.run(text), desk);
    }
    const shown = JSON.parse(BLOCKS.find(({ info }) => info === 'json access')?.text ?? '{}');
    const lines = () => desk.log.split('\n').filter((line) => line.includes('"message":"request"'));
    await eventually(() => lines().length > 0, 'an access log line');
    assert.deepEqual(Object.keys(JSON.parse(lines()[0])).sort(), Object.keys(shown).sort());
  });
}

test('every configuration in the README is valid', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-readme-'));
  const file = join(directory, 'sluice.yaml');
  const examples = BLOCKS.filter(({ info }) => info === 'yaml');
  assert.ok(examples.length > 0);
  for (const { text } of examples) {
    writeFileSync(file, text);
    assert.ok(loadConfig(file, {}).listeners.length > 0);
  }
  rmSync(directory, { recursive: true });
});

test('the make targets that the pages name exist', () => {
  const makefile = page('Makefile');
  for (const [, target] of README.matchAll(/(?:^|`)make ([a-z-]+)/gm)) {
    assert.match(makefile, new RegExp(`^${target}:`, 'm'), `make ${target}`);
  }
});

test('what the README waits for is what the drain takes', () => {
  const { drain } = loadConfig(fileURLToPath(repository('docs/demo.yaml')), {});
  const stop = Number(/^TimeoutStopSec=(\d+)$/m.exec(README)?.[1]);
  assert.ok(stop * 1000 > drain.holdMs + drain.graceMs);
  assert.ok(README.includes(`\`drain.hold\` (${drain.holdMs / 1000} s)`));
  assert.ok(README.includes(`\`drain.grace\` (${drain.graceMs / 1000} s)`));
  assert.ok(Array.isArray(parse(firstYaml).listeners));
});
