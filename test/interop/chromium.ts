// Chromium without a window. It is given a page, whose script does the rest; the page's own server hears of everything.
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { temporary, which } from '../support/servers.js';

const PROGRAMS = ['chromium-headless-shell', 'chromium'];
/** Its path; null where there is none. */
export const chromium = PROGRAMS.map((name) => which(name)).find((path) => path !== null) ?? null;

export const lackingChromium: string | false = chromium === null && `${PROGRAMS.join(' or ')} is not installed`;

export const CHROMIUM_ARGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
];

export interface Browser {
  close(): Promise<void>;
}

export function openPage(url: string): Browser {
  const directory = temporary('chromium', null);
  // Without a port for debugging it would leave as soon as the page is loaded.
  const args = [...CHROMIUM_ARGS, `--user-data-dir=${directory}`, '--remote-debugging-port=0', url];
  const child: ChildProcess = spawn(chromium ?? '', args, { stdio: 'ignore', detached: true });
  const ended = new Promise((resolve) => child.once('close', resolve));
  return {
    close: async () => {
      // The program is a script around the browser, which has processes of its own: all of the group.
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      await ended;
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
