// `sluice controller` as a process: what it serves, how it goes and comes back, and what it says where it can't begin.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { endpointAt } from '../../src/discovery/endpoint.js';
import { page } from '../docs/fences.js';
import { ControllerFiles, type ControllerProcess, startController } from '../support/controller.js';
import { DestinationClient } from '../support/destination.js';
import { StartFailed } from '../support/logged-process.js';
import { eventually } from '../support/sluice.js';

const WEB = 'web.shop.svc.cluster.local:80';
const NAME = 'web.shop.serviceaccount.identity.sluice.cluster.local';
const SERVER = 'sluice-destination.sluice.serviceaccount.identity.sluice.cluster.local';

const at = (host: string) => endpointAt({ host, port: 8080 }, { identity: NAME, proxy: { port: 4143, http2: true } });
const written = (host: string): object => ({
  address: `${host}:8080`,
  identity: NAME,
  proxy: { port: 4143, http2: true },
});

describe('sluice controller', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-controller-'));
  let files: ControllerFiles;
  let controller: ControllerProcess;
  let client: DestinationClient;
  before(async () => {
    files = new ControllerFiles(directory);
    files.describe({ [`${WEB} 10.96.0.1 http1`]: [written('10.0.0.1')] });
    controller = await startController([...files.arguments, '--grace', '4s']);
    client = new DestinationClient(controller.ports.destination, { ...(await files.certified(NAME)), name: SERVER });
  });
  after(async () => {
    client.close();
    await controller.stop('SIGKILL');
    rmSync(directory, { recursive: true });
  });

  it('is ready, tells what the cluster has and what becomes of it, and counts that', async () => {
    assert.deepEqual(await controller.page('/ready'), { status: 200, body: 'ready\n' });
    const stream = client.get(WEB);
    await stream.knows([at('10.0.0.1')]);
    const profile = client.profile('10.96.0.1:80');
    await profile.until(({ messages }) => messages.length > 0, 'a profile');
    assert.deepEqual(profile.profile(80), {
      kind: 'profile',
      profile: { authority: WEB, opaque: false, protocol: 'http1', endpoint: null },
    });
    files.describe({ [`${WEB} 10.96.0.1 http1`]: [written('10.0.0.1'), written('10.0.0.2')] });
    await stream.knows([at('10.0.0.1'), at('10.0.0.2')]);
    const { body } = await controller.page('/metrics');
    assert.match(body, /^sluice_destination_streams\{method="get"\} 1$/m);
    assert.match(body, /^sluice_destination_updates_total\{method="get"\} 2$/m);
    assert.match(body, /^sluice_destination_update_seconds_count\{method="get"\} 2$/m);
    assert.match(body, /^sluice_destination_connections 1$/m);
    stream.call.cancel();
    profile.call.cancel();
  });

  it('has its metrics in the docs, and no others are there', async () => {
    const { body } = await controller.page('/metrics');
    const served = new Set([...body.matchAll(/^# TYPE (sluice_destination_\w+) /gm)].map(([, name]) => name));
    const told = new Set(
      [...page('docs/controller.md').matchAll(/`(sluice_destination_[a-z_]+)/g)].map(([, name]) => name),
    );
    assert.deepEqual([...told].sort(), [...served].sort());
  });

  it('says what is wrong with the cluster, and goes on with what it was', async () => {
    writeFileSync(files.cluster, '{"web": []}');
    await eventually(async () => (await controller.page('/ready')).body.includes('web: does not begin with'), 'a note');
    assert.equal((await controller.page('/ready')).status, 200);
    const stream = client.get(WEB);
    await stream.knows([at('10.0.0.1'), at('10.0.0.2')]);
    stream.call.cancel();
    files.describe({ [`${WEB} 10.96.0.1`]: [] });
    await eventually(async () => (await controller.page('/ready')).body === 'ready\n', 'no note');
  });

  it('killed and back at the same place says what there is then; told to end it sends callers elsewhere', async () => {
    const stream = client.get(WEB);
    await stream.knows([]);
    await controller.stop('SIGKILL');
    assert.match(await stream.end(), /^UNAVAILABLE/);
    files.describe({ [WEB]: [written('10.0.0.3')] });
    const place = `127.0.0.1:${controller.ports.destination}`;
    controller = await startController([...files.arguments, '--destination-listen', place, '--grace', '4s']);
    // The official client waits before it tries again.
    client.close();
    client = new DestinationClient(controller.ports.destination, { ...(await files.certified(NAME)), name: SERVER });
    const again = client.get(WEB);
    await again.knows([at('10.0.0.3')]);
    const code = controller.stop();
    assert.equal(await again.end(), 'UNAVAILABLE: this controller is shutting down; ask again');
    assert.equal(await code, 0);
    assert.equal(controller.logged('controller ended')[0]?.cutOff, false);
  });

  it('names what is wrong where it can not begin', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    const fails = async (args: readonly string[], message: RegExp, code: number): Promise<void> => {
      await assert.rejects(startController(args), (error: unknown) => {
        assert.ok(error instanceof StartFailed);
        assert.match(error.message, message);
        assert.equal(error.code, code);
        return true;
      });
    };
    const given = files.arguments;
    await fails(
      [...given, '--destination-listen', `127.0.0.1:${port}`],
      /cannot listen on 127\.0\.0\.1:\d+: EADDRINUSE/,
      1,
    );
    taken.close();
    writeFileSync(files.cluster, '{"web.shop.svc.cluster.local:80 nowhere": []}');
    await fails(given, /cluster\.yaml.*nowhere is neither an address nor a protocol/, 1);
    writeFileSync(files.cluster, '{"web.shop.svc.cluster.local:80": [{}]}');
    await fails(given, /has no address/, 1);
    await fails([], /KUBERNETES_SERVICE_HOST is not set, so this is not running in a pod/, 2);
    await fails(['--cluster', files.cluster], /without Kubernetes there is no Secret with an issuer/, 2);
    await fails([...given, '--max-streams', '0'], /--max-streams/, 2);
    await fails([...given, '--namespace', 'Sh_op'], /--namespace: "Sh_op" is not the name of a namespace/, 2);
  });
});
