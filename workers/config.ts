// The thread that reads a large configuration file; see src/config/load-in-thread.ts.
import { parentPort, workerData } from 'node:worker_threads';
import { type Reading, read } from '../src/config/reading.js';

parentPort?.postMessage(read(workerData as Reading));
