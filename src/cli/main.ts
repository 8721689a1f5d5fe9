#!/usr/bin/env node
// The `sluice` command. The first import claims the signals; everything else is loaded after it.
import './claim-process.js';
import { createRequire } from 'node:module';

const { main } = createRequire(import.meta.url)('./commands.cjs') as typeof import('./commands.js');

// `sluice explain ... | head` closes the pipe early, which is not a failure. A full disk is.
let lost: NodeJS.ErrnoException | undefined;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') lost ??= error;
});
process.stderr.on('error', () => undefined);
const code = await main(process.argv.slice(2));
// On Linux output is synchronous, but errors are reported a little later.
await new Promise(setImmediate);
if (lost !== undefined && code === 0)
  process.stderr.write(`sluice: the standard output could not be written: ${lost.message}\n`);
// Setting the exit code is not enough: an open handle must not keep a closed proxy alive.
process.exit(lost === undefined ? code : code || 1);
