// A sidecar that asks a destination service. The tests themselves are in sidecar-destinations-inside.ts, which runs as a process in a network
// namespace of its own: pods and Services are addresses of its loopback interface.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Namespace } from '../support/namespaces.js';
import { NETWORKS, SLUICE_GID } from './sidecar-destinations-support.js';

const INSIDE = fileURLToPath(new URL('./sidecar-destinations-inside.js', import.meta.url));

const namespace = Namespace.make('dest');

/** Lays addresses and rules; why that can't be done here, '' if it could. */
function setUp(): string {
  if (typeof namespace === 'string') return namespace;
  try {
    for (const { tool, network, address, port } of NETWORKS) {
      namespace.ip('addr', 'add', address, 'dev', 'lo', ...(network.includes(':') ? ['nodad'] : []));
      // What Sluice dials is left alone: it would come back.
      const match = ['-d', network, '-p', 'tcp', '-m', 'owner', '!', '--gid-owner', String(SLUICE_GID)];
      namespace.run(tool, '-t', 'nat', '-A', 'OUTPUT', ...match, '-j', 'REDIRECT', '--to-ports', String(port));
    }
    namespace.run('setpriv', '--regid', String(SLUICE_GID), '--clear-groups', 'true');
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const why = setUp();
after(() => {
  if (typeof namespace !== 'string') namespace.remove();
});

test('a sidecar that asks a destination service, in a network namespace', {
  skip: why === '' ? false : `network namespaces need root, ip, iptables and setpriv: ${why}`,
  timeout: 170_000,
}, async (t) => {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const inside = typeof namespace === 'string' ? [] : namespace.inside;
  const child = spawn(inside[0], [...inside.slice(1), process.execPath, '--test-reporter=tap', INSIDE], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: Sluice is to go with it.
    detached: true,
  });
  t.after(() => {
    if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  assert.equal(code, 0, output);
  assert.match(output, /^# pass [1-9]/m, output);
});
