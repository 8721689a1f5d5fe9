// Runs test files as `node --test` does, and says at the end what failed.
//
// A few files that failed run once more, after the others and one at a time. What fails only beside other tests, on a machine that has too
// little time for both, is a weakness of the test, and named as one; what fails again is a failure. More than a few are not tried again:
// then something is broken.
//
//   node --test-timeout=480000 dist/test/main.js [--concurrency=3] [--timeout=480000] FILE…
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

type Failed = Map<string, string[]>;

function report(what: string, failed: Failed): string {
  let text = '';
  for (const [file, names] of failed) text += `# ${what}: ${file}: ${names.join(' < ')}\n`;
  return text;
}

interface Pass {
  readonly concurrency: number;
  readonly timeout: number;
  /** What failed when these files ran before. */
  readonly before: Failed;
}

/** Runs files; gives the names of the tests that failed, by file. They are printed before the summary. */
async function pass(files: readonly string[], { concurrency, timeout, before }: Pass): Promise<Failed> {
  const failed: Failed = new Map();
  const tests = run({ files: [...files], concurrency, timeout });
  tests.on('test:fail', ({ name, file, todo, skip, details }) => {
    if (todo !== undefined || skip !== undefined) return;
    // A suite fails with what is in it.
    if ('failureType' in details.error && details.error.failureType === 'subtestsFailed') return;
    const of = relative(process.cwd(), file ?? name);
    const names = failed.get(of) ?? [];
    failed.set(of, names);
    names.push(name);
  });
  const output = tests.compose(tap);
  output.on('data', (text: Buffer | string) => {
    // The plan is the first line of the summary.
    if (/^1\.\.\d+\n/.test(String(text))) {
      const passed = new Map([...before].filter(([file]) => !failed.has(file)));
      process.stdout.write(report('failed beside others, passed alone', passed) + report('failed', failed));
    }
    process.stdout.write(text);
  });
  await finished(output);
  return failed;
}

const { values, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { concurrency: { type: 'string', default: '3' }, timeout: { type: 'string', default: '480000' } },
});
if (files.length === 0) {
  console.error('usage: node dist/test/main.js [--concurrency=3] FILE…');
  process.exit(2);
}
const timeout = Number(values.timeout);
let failed = await pass(files, { concurrency: Number(values.concurrency), timeout, before: new Map() });
// A test may be declared in another file than the one that was run. Where it can't be told which that was, it stays a failure.
const again = files.filter((file) => failed.has(relative(process.cwd(), file)));
if (again.length > 0 && again.length === failed.size && again.length <= FEW) {
  process.stdout.write('# Once more, one at a time, what failed:\n');
  failed = await pass(again, { concurrency: 1, timeout, before: failed });
}
process.exitCode = failed.size === 0 ? 0 : 1;
