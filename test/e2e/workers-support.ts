// An engine inside the test's own process, for tests that reach for its threads.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config/load.js';
import { createLogger } from '../../src/log/logger.js';
import { Engine } from '../../src/supervisor/engine.js';
import type { Executor, LogLine } from '../support/sluice.js';

export interface Host {
  readonly engine: Engine;
  readonly log: LogLine[];
  readonly port: number;
  /** Sum of the series of /metrics that have this name and all of these labels. */
  metric(name: string, labels?: Readonly<Record<string, string | number>>): Promise<number>;
  stop(): Promise<number>;
}

/** Starts an engine with this configuration; its listener `edge` gives the port. Threads run `workerFile`. `hurry`: see Engine. */
export async function startEngine(yaml: string, io: Executor, workerFile?: string, hurry?: AbortSignal): Promise<Host> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-'));
  const file = join(directory, 'sluice.yaml');
  writeFileSync(
    file,
    `io: ${io}\n${/^warmup:/m.test(yaml) ? '' : 'warmup: off\n'}admin: { listen: "127.0.0.1:0" }\n${yaml}`,
  );
  const log: LogLine[] = [];
  const logger = createLogger({ write: (line) => log.push(JSON.parse(line) as LogLine) });
  const engine = await Engine.start(loadConfig(file, {}), logger, workerFile, hurry);
  rmSync(directory, { recursive: true });
  return {
    engine,
    log,
    port: engine.listenerPort('edge'),
    metric: async (name, labels = {}) => {
      const url = `http://127.0.0.1:${engine.adminPort}/metrics`;
      const text = await (await fetch(url, { headers: { connection: 'close' } })).text();
      const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
      let sum = 0;
      for (const line of text.split('\n')) {
        const match = /^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)/.exec(line);
        if (match === null || match[1] !== name || !wanted.every((label) => (match[2] ?? '').includes(label))) continue;
        sum += Number(match[3]);
      }
      return sum;
    },
    stop: async () => {
      await engine.drain({ holdMs: 0 });
      return (await engine.closed).code;
    },
  };
}

/** Descriptors of this process. */
export const openFiles = (): number => readdirSync('/proc/self/fd').length;
