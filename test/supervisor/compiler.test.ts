import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const MODULE = new URL('../../src/supervisor/workers.js', import.meta.url);

/** Each takes a tenth of a second. */
const ATTEMPTS = 50;

/** Octets of bytecode in a thread that has called 2000 functions and seen garbage collected by a V8 that is keen on flushing code. */
function bytecodeLeft(afterWorkers: boolean): number {
  const thread = `
    const functions = Array.from({ length: 2000 }, (_, i) => new Function('a', 'return a + ' + i + ' * a'));
    for (const each of functions) each(1);
    for (let i = 0; i < 3; i++) gc();
    const { bytecode_and_metadata_size } = require('node:v8').getHeapCodeStatistics();
    require('node:worker_threads').parentPort.postMessage([bytecode_and_metadata_size, functions.length]);`;
  // The pool's own thread is never given its task: this is about any thread that begins after that one has set V8's flags, which
  // nobody is told of. So there are several, one after the other, until one has kept its code.
  const main = `
    const attempt = (left) => {
      const thread = new (require('node:worker_threads').Worker)(${JSON.stringify(thread)}, { eval: true });
      thread.on('message', ([octets, functions]) => {
        if (left > 0 && octets < 50 * functions) return attempt(left - 1);
        console.log(octets);
        process.exit();
      });
    };
    import(${JSON.stringify(MODULE.href)}).then(({ WorkerPool }) => {
      if (${afterWorkers}) new WorkerPool(1, 'epoll', new SharedArrayBuffer(8));
      attempt(${afterWorkers ? ATTEMPTS : 0});
    });`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', '--stress-flush-code', '-e', main]);
  assert.equal(stderr.toString(), '');
  return Number(stdout.toString());
}

test('threads of a worker pool keep their code through garbage collections, which V8 left to itself throws away', () => {
  const [kept, left] = [bytecodeLeft(true), bytecodeLeft(false)];
  assert.ok(kept > 5 * left, `${kept} octets kept, ${left} otherwise`);
});
