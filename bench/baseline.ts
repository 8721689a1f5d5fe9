// `--baseline DIR`: an older build beside the new one, as a contender in the same rounds.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { direct, type Subject } from '../src/harness/subjects/subject.js';
import type { BaselineBar, Bench } from './bench.js';

export const BASELINE = 'baseline';

/** Of all bars this is the narrowest: what is left of the noise once old and new run in turn. */
const CPU_LIMIT = 1.02;
/** Bytes of a connection: over 9,000 of them some 35 pages, by which one build differs from itself. */
const MEMORY_DIFFERENCE = 16;
/** MiB of a process, and ms of its start: what two starts of one build differ by. */
const PROCESS_DIFFERENCE = 1;
const START_DIFFERENCE = 20;

/** Arguments of `node` that start the build in `directory`; throws what is wrong with it. `option` is what named it. */
export function builtCheckout(option: string, directory: string): readonly string[] {
  const root = resolve(directory);
  const wrong = (what: string) => new Error(`${option} ${directory}: ${what}`);
  if (!statSync(root, { throwIfNoEntry: false })?.isDirectory()) throw wrong('there is no such directory');
  if (packageName(root) !== 'sluice') throw wrong('is not a checkout of Sluice (its package.json does not say so)');
  const main = join(root, 'dist/src/cli/main.js');
  if (!existsSync(main)) throw wrong('is not built (dist/src/cli/main.js is missing); run `make build` in it');
  if (!existsSync(join(root, 'build/Release/sluice.node')) && !existsSync(join(root, 'prebuilds'))) {
    throw wrong('has no native module (build/Release/sluice.node is missing); run `make build` in it');
  }
  if (!existsSync(join(root, 'node_modules'))) throw wrong('has no node_modules; run `make build` in it');
  return [process.execPath, main];
}

function packageName(root: string): unknown {
  try {
    return (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { name?: unknown }).name;
  } catch {
    return null; // not there, or no JSON
  }
}

function barOf({ measures }: Bench): BaselineBar | null {
  switch (measures) {
    case 'cpu':
      return { kind: 'ratio', limit: CPU_LIMIT };
    case 'memory':
      return { kind: 'difference', limit: MEMORY_DIFFERENCE };
    case 'process':
      return { kind: 'difference', limit: PROCESS_DIFFERENCE };
    case 'start':
      return { kind: 'difference', limit: START_DIFFERENCE };
    case 'latency':
      return null;
    default:
      return measures satisfies never;
  }
}

/** Whether `withBaseline` has something to judge. */
export const comparable = (bench: Bench): boolean => bench.contenders[0].build !== undefined && barOf(bench) !== null;

/** `bench` with the build that `program` starts, next to the new one. Where Sluice is compared with itself it stays as it is. */
export function withBaseline(bench: Bench, program: readonly string[]): Bench {
  const [subject, ...rivals] = bench.contenders;
  if (subject.build === undefined || rivals.some(({ build }) => build !== undefined)) return bench;
  const bar = barOf(bench);
  const contenders = [subject, subject.build(BASELINE, program), ...rivals];
  return { ...bench, contenders, ...(bar ? { baselineBar: bar } : {}) };
}

/** `bench` without other proxies, and without the bar where it is about them. */
export function withoutRivals(bench: Bench): Bench {
  const isSluice = ({ build }: Subject): boolean => build !== undefined;
  const contenders = bench.contenders.filter((each) => isSluice(each) || each === direct);
  const kept = bench.bar?.rivals.every((name) => contenders.some((each) => each.name === name)) ?? false;
  return { ...bench, bar: kept ? bench.bar : null, contenders };
}
