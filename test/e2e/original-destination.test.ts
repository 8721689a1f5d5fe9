// Connections that netfilter has redirected. The tests themselves are in original-destination-inside.ts, which runs as a process in a
// network namespace of its own: its rules and addresses are nobody else's.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  ADDRESSES,
  MANY,
  PORT,
  REDIRECTED_PORTS,
  SECURE_LISTENER,
  SECURE_PORT,
  SLUICE_GID,
  WRAPPED_PORT,
} from './original-destination-support.js';

const INSIDE = fileURLToPath(new URL('./original-destination-inside.js', import.meta.url));
const NAMESPACE = `sluice-od${process.pid}`;

const inside = (...command: string[]): void => {
  execFileSync('ip', ['netns', 'exec', NAMESPACE, ...command], { stdio: 'pipe' });
};

/** Makes the namespace; why that can't be done here, '' if it could. */
function setUp(): string {
  try {
    execFileSync('ip', ['netns', 'add', NAMESPACE], { stdio: 'pipe' });
    inside('ip', 'link', 'set', 'lo', 'up');
    for (const { tool, bits, port, hosts } of ADDRESSES) {
      for (const host of hosts) inside('ip', 'addr', 'add', `${host}/${bits}`, 'dev', 'lo');
      const rule = (ports: string, to: number, position: string, destinations: readonly string[] = hosts): void => {
        // What Sluice dials is left alone: it would come back.
        const own = ['-m', 'owner', '!', '--gid-owner', String(SLUICE_GID)];
        const match = ['-p', 'tcp', '-m', 'multiport', '--dports', ports, ...own];
        for (const host of destinations)
          inside(
            tool,
            '-t',
            'nat',
            position,
            'OUTPUT',
            '-d',
            host,
            ...match,
            '-j',
            'REDIRECT',
            '--to-ports',
            String(to),
          );
      };
      rule(REDIRECTED_PORTS, port, '-A');
      if (tool !== 'iptables') continue;
      rule(String(PORT.MANY), port, '-A', [MANY.network]);
      rule(String(WRAPPED_PORT), ADDRESSES[1].port, '-I');
      rule(String(SECURE_PORT), SECURE_LISTENER, '-I');
    }
    inside('setpriv', '--regid', String(SLUICE_GID), '--clear-groups', 'true');
    return '';
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    return said === '' ? String(error) : said;
  }
}

const why = setUp();
process.once('exit', () => {
  try {
    execFileSync('ip', ['netns', 'del', NAMESPACE], { stdio: 'pipe' });
  } catch {
    // There was none.
  }
});

test('redirected connections, in a network namespace', {
  skip: why === '' ? false : `original destinations need root, ip, iptables, ip6tables and setpriv: ${why}`,
  timeout: 120_000,
}, async (t) => {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn('ip', ['netns', 'exec', NAMESPACE, process.execPath, '--test-reporter=tap', INSIDE], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: Sluice is to go with it.
    detached: true,
  });
  t.after(() => {
    if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  assert.equal(code, 0, output);
});
