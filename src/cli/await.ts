// `sluice await`: waits until a proxy is ready, for programs that must not start before it.
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDuration, parseHostPort, ValueError } from '../config/values.js';
import type { Arguments, Command } from './usage.js';
import { EXIT_FAILURE, parseArguments, print, printError, UsageError } from './usage.js';

const POLL_MS = 100;
const MAX_TEXT_LENGTH = 4096;

interface Reply {
  readonly ready: boolean;
  /** The page's text, or why there is none. */
  readonly said: string;
}

/** Asks once. Never rejects. */
function checkReady(host: string, port: number, timeoutMs: number): Promise<Reply> {
  return new Promise((resolve) => {
    const failed = (error: Error): void => resolve({ ready: false, said: error.message });
    // Not a socket timeout: a server that sends one byte a minute would never run into it.
    const late = setTimeout(() => asked.destroy(new Error('no answer')), timeoutMs);
    const asked = request({ host, port, path: '/ready', agent: false }, (response) => {
      let said = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        if (said.length < MAX_TEXT_LENGTH) said += text;
      });
      response.once('error', failed);
      response.once('end', () => resolve({ ready: response.statusCode === 200, said: said.trim() }));
    });
    asked.once('close', () => clearTimeout(late));
    asked.once('error', failed).end();
  });
}

function timeoutOf(values: Arguments['values']): number {
  const text = String(values.timeout ?? '2m');
  try {
    return parseDuration(text, { in: 'ms', step: 1, min: '1ms', max: '24h' });
  } catch (error) {
    if (error instanceof ValueError) throw new UsageError(`--timeout: ${error.message}`);
    throw error;
  }
}

export const awaitCommand: Command = {
  help: `Usage: sluice await [--address HOST:PORT] [--timeout TIME]

Waits until the proxy is ready (/ready of its admin port). As a postStart hook of the proxy's container it holds back
the containers after it. In a script it holds back a program that must not start before its proxy.

Options:
      --address HOST:PORT  the admin port (default 127.0.0.1:4191)
      --timeout TIME       how long to wait: 500ms, 30s, 2m (default 2m)
  -h, --help               this text

Examples:
  sluice await
  sluice await --timeout 30s && exec my-application

Exit codes: 0 ready, 1 not ready in time, 2 wrong usage.`,
  async run(args) {
    const { values } = parseArguments(args, { address: { type: 'string' }, timeout: { type: 'string' } }, 0);
    const address = String(values.address ?? '127.0.0.1:4191');
    let host: string;
    let port: number;
    try {
      ({ host, port } = parseHostPort(address, '127.0.0.1:4191'));
    } catch (error) {
      if (error instanceof ValueError) throw new UsageError(`--address: ${error.message}`);
      throw error;
    }
    const timeoutMs = timeoutOf(values);
    const end = performance.now() + timeoutMs;
    for (;;) {
      const { ready, said } = await checkReady(host, port, Math.max(1, end - performance.now()));
      if (ready) {
        print(`${address} is ready`);
        return 0;
      }
      if (performance.now() + POLL_MS >= end) {
        printError(`sluice await: ${address} is not ready after ${values.timeout ?? '2m'}: ${said}`);
        return EXIT_FAILURE;
      }
      await sleep(POLL_MS);
    }
  },
};
