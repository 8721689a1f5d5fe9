// `sluice run` with workers that have a transport under every connection: the one that TEST_TRANSPORT names.
import { fileURLToPath } from 'node:url';
import { runProxy } from '../../src/cli/run.js';
import { Engine } from '../../src/supervisor/engine.js';

const { TEST_TRANSPORT = 'rechunking' } = process.env;
const WORKER_FILE = fileURLToPath(new URL(`./${TEST_TRANSPORT}-worker.js`, import.meta.url));
const [, , , ...args] = process.argv;
process.exit(await runProxy(args, (config, logger, hurry) => Engine.start(config, logger, WORKER_FILE, hurry)));
