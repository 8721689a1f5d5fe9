// `sluice bench micro`: the cost of each piece of the hot path by itself.
import { parseDuration, ValueError } from '../config/values.js';
import { Arena } from '../micro/arena.js';
import { allBenchmarks } from '../micro/benchmarks.js';
import type { Measured } from '../micro/measure.js';
import { blackhole, measure } from '../micro/measure.js';
import type { Command } from './usage.js';
import { EXIT_FAILURE, parseArguments, print, printError, UsageError } from './usage.js';

const ROUNDS = 5;

interface Line extends Measured {
  readonly name: string;
  readonly what: string;
}

function secondsOf(text: string): number {
  try {
    return parseDuration(text, { in: 'ms', step: 1, min: '10ms', max: '1h' }) / 1000;
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(`--duration: ${error.message}`);
    throw error;
  }
}

const lineOf = ({ name, ns, least, most, allocated, what }: Line): string =>
  `${name.padEnd(18)} ${ns.toFixed(1).padStart(9)} ns (${least.toFixed(1)} to ${most.toFixed(1)})  ${allocated
    .toFixed(1)
    .padStart(6)} B  ${what}`;

export const benchMicroCommand: Command = {
  help: `Usage: sluice bench micro [PIECE...] [--duration TIME] [--output table|json] [--max-allocated OCTETS]

Measures pieces of the hot path separately, in one thread: nanoseconds and octets of the heap per operation.

Options:
      --duration TIME         how long each piece is measured (default 1s), after a warm-up of the same length
      --output table|json     (default table)
      --max-allocated OCTETS  exit with 1 if a piece allocates more than this per operation
  -h, --help                  this text

Examples:
  sluice bench micro
  sluice bench micro detector hpack-varied --duration 5s
  sluice bench micro --output json --max-allocated 1`,
  async run(args) {
    const options = {
      duration: { type: 'string' },
      output: { type: 'string' },
      'max-allocated': { type: 'string' },
    } as const;
    const { values, positionals } = parseArguments(args, options, Number.POSITIVE_INFINITY);
    const seconds = secondsOf(String(values.duration ?? '1s'));
    const output = String(values.output ?? 'table');
    if (output !== 'table' && output !== 'json') throw new UsageError(`--output: table or json, not ${output}`);
    const most = Number(values['max-allocated'] ?? Number.POSITIVE_INFINITY);
    if (!(most >= 0))
      throw new UsageError(`--max-allocated: ${String(values['max-allocated'])} is not a number of bytes`);
    const pieces = await allBenchmarks();
    const unknown = positionals.find((name) => pieces.every((piece) => piece.name !== name));
    if (unknown !== undefined)
      throw new UsageError(`no piece is called ${unknown}; there are ${pieces.map(({ name }) => name).join(', ')}`);
    const lines: Line[] = [];
    const arena = new Arena();
    for (const piece of pieces) {
      if (positionals.length > 0 && !positionals.includes(piece.name)) continue;
      const prepared = piece.prepare(arena);
      const line = { name: piece.name, what: piece.what, ...measure(prepared, { seconds, rounds: ROUNDS }) };
      prepared.end?.();
      lines.push(line);
      if (output === 'table') print(lineOf(line));
    }
    arena.end();
    if (output === 'json')
      print(JSON.stringify({ format: 'sluice-micro', version: 1, pieces: lines, witness: blackhole() }));
    const greedy = lines.filter(({ allocated }) => allocated > most);
    for (const { name, allocated } of greedy)
      printError(`${name} allocates ${allocated.toFixed(1)} octets each time; ${most} are allowed`);
    return greedy.length > 0 ? EXIT_FAILURE : 0;
  },
};
