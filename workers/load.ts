// A thread of a load generator (`sluice bench run`): makes its part of the load, and ends.
import { workerData } from 'node:worker_threads';
import { native } from '../src/io/native.js';
import type { LoadTask } from '../src/load/task.js';
import { LoadThread } from '../src/load/thread.js';

await new LoadThread(workerData as LoadTask, native()).run();
