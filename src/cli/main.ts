#!/usr/bin/env node
// The `sluice` command. The first import claims the signals; the rest is loaded after that.
import './claim-process.js';
import { createRequire } from 'node:module';

const { main } = createRequire(import.meta.url)('./commands.cjs') as typeof import('./commands.js');

// `sluice explain ... | head` closes the pipe early; that is no failure.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
// Not just the exit code: whatever handle is left open must not keep a closed proxy alive. On Linux output is synchronous.
process.exit(await main(process.argv.slice(2)));
