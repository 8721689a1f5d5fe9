#!/usr/bin/env node
// The `sluice` command. The first import claims the signals; the rest is loaded after that.
import './claim-process.js';
import { createRequire } from 'node:module';

const { main } = createRequire(import.meta.url)('./commands.cjs') as typeof import('./commands.js');

// `sluice explain ... | head` closes the pipe early; that is no failure. A full disk is one.
let lost: NodeJS.ErrnoException | undefined;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') lost ??= error;
});
process.stderr.on('error', () => undefined);
const code = await main(process.argv.slice(2));
// On Linux output is synchronous, but what became of it is told a little later.
await new Promise(setImmediate);
if (lost !== undefined && code === 0)
  process.stderr.write(`sluice: the standard output could not be written: ${lost.message}\n`);
// Not just the exit code: whatever handle is left open must not keep a closed proxy alive.
process.exit(lost === undefined ? code : code || 1);
