// What is in the memory of an idle Sluice with one worker, as a table.
//   node dist/bench/memory/main.js [--seconds 4] [--io epoll] [--warmup off]
// Starts it, with a probe in its threads that takes some 0.3 MiB, waits, and looks.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { NODE_FLAGS } from '../../src/harness/paths.js';
import { type HeapReport, PROBE } from './probe.js';
import { type Mappings, mappingsOf } from './smaps.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const PROBE_FILE = new URL('./probe.js', import.meta.url).href;
const config = (warmup: string): string => `workers: 1
warmup: ${warmup}
admin: { listen: "127.0.0.1:0" }
listeners:
  - { name: idle, listen: "127.0.0.1:0", service: nobody }
services:
  nobody: { endpoints: ["127.0.0.1:9"] }
`;

const mib = (kib: number): string => (kib / 1024).toFixed(1).padStart(6);
const THREADS = ['main thread', 'worker'];

function table(reports: readonly HeapReport[], mappings: Mappings): string {
  const lines: string[] = [];
  const add = (name: string, kib: number, of = ''): void => {
    lines.push(`| ${name.padEnd(44)} | ${mib(kib)} | ${of.padEnd(6)} |`);
  };
  let heaps = 0;
  for (const { thread, spaces } of [...reports].sort((a, b) => a.thread - b.thread)) {
    for (const [name, physical, used] of spaces) {
      heaps += physical;
      if (physical > 0)
        add(`${THREADS[thread] ?? `thread ${thread}`}, ${name.replaceAll('_', ' ')}`, physical, mib(used));
    }
  }
  add('malloc', mappings.malloc);
  add('other mappings: columns, V8 outside its heaps', mappings.mapped - heaps);
  add('stacks', mappings.stacks);
  add('programs and libraries, as far as written', mappings.files);
  add('all: Anonymous of smaps_rollup', mappings.total);
  const head = `| ${'what'.padEnd(44)} | ${'MiB'.padStart(6)} | in use |\n|${'-'.repeat(46)}|${'-'.repeat(7)}:|${'-'.repeat(7)}:|`;
  return `${head}\n${lines.join('\n')}`;
}

async function look(seconds: number, warmup: string, args: readonly string[]): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-memory-'));
  const file = join(directory, 'sluice.yaml');
  writeFileSync(file, config(warmup));
  const child = spawn(process.execPath, [...NODE_FLAGS, '--import', PROBE_FILE, MAIN, 'run', '-c', file, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, MEMORY_PROBE_MS: String(seconds * 1000) },
  });
  const other: string[] = [];
  const reports: HeapReport[] = [];
  try {
    for await (const line of createInterface({ input: child.stderr })) {
      if (line.startsWith(PROBE)) reports.push(JSON.parse(line.slice(PROBE.length)) as HeapReport);
      else other.push(line);
      if (reports.length === THREADS.length) {
        return table(reports, mappingsOf(readFileSync(`/proc/${child.pid}/smaps`, 'utf8')));
      }
    }
    throw new Error(`it ended early: ${other.join('\n')}`);
  } finally {
    child.kill('SIGINT');
    rmSync(directory, { recursive: true, force: true });
  }
}

const options = {
  seconds: { type: 'string', default: '4' },
  io: { type: 'string' },
  warmup: { type: 'string', default: 'auto' },
} as const;
const { values } = parseArgs({ options });
console.log(`Node.js ${process.versions.node}, one worker, idle\n`);
console.log(await look(Number(values.seconds), values.warmup, values.io === undefined ? [] : ['--io', values.io]));
