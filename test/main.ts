// Runs test files as `node --test` does, and says at the end what failed.
//
// A few files that failed run once more, after the others and one at a time. What fails only beside other tests, on a machine that has too
// little time for both, is a weakness of the test, and named as one; what fails again is a failure. More than a few are not tried again:
// then something is broken.
//
//   node --test-timeout=240000 dist/test/main.js [--concurrency=3] [--timeout=240000] FILE…
//
// Three at a time keep two cores busy, as most of them wait for most of their time. `--timeout` is a file's, in ms; node's own `--test-timeout` is a test's.
//
// Exit codes: 0 all passed, 1 something failed, 2 no file was named.
import { relative } from 'node:path';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { tap } from 'node:test/reporters';
import { parseArgs } from 'node:util';

const FEW = 5;

/** Runs files; gives the names of the tests that failed, by file. Prints them before the summary. */
async function pass(files: readonly string[], concurrency: number, timeout: number): Promise<Map<string, string[]>> {
  const failed = new Map<string, string[]>();
  const tests = run({ files: [...files], concurrency, timeout });
  tests.on('test:fail', ({ name, file, todo, skip }) => {
    if (todo !== undefined || skip !== undefined) return;
    const of = relative(process.cwd(), file ?? name);
    const names = failed.get(of) ?? [];
    failed.set(of, names);
    names.push(name);
  });
  const output = tests.compose(tap);
  output.on('data', (text: Buffer | string) => {
    // The plan is the first line of the summary.
    if (/^1\.\.\d+\n/.test(String(text))) process.stdout.write(report(failed, 'failed'));
    process.stdout.write(text);
  });
  await finished(output);
  return failed;
}

function report(failed: ReadonlyMap<string, readonly string[]>, what: string): string {
  let text = '';
  for (const [file, names] of failed) text += `# ${what}: ${file}: ${names.join(' < ')}\n`;
  return text;
}

const { values, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { concurrency: { type: 'string', default: '3' }, timeout: { type: 'string', default: '240000' } },
});
if (files.length === 0) {
  console.error('usage: node dist/test/main.js [--concurrency=3] FILE…');
  process.exit(2);
}
const timeout = Number(values.timeout);
let failed = await pass(files, Number(values.concurrency), timeout);
if (failed.size > 0 && failed.size <= FEW) {
  const first = failed;
  process.stdout.write('# Once more, one at a time, what failed:\n');
  failed = await pass([...first.keys()], 1, timeout);
  for (const file of failed.keys()) first.delete(file);
  process.stdout.write(report(first, 'failed beside others, passed alone'));
}
process.exitCode = failed.size === 0 ? 0 : 1;
