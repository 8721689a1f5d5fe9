// How a pod with a proxy ends, and what happens when its proxy does: as a native sidecar, and as a container like others.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { installation } from '../../src/inject/installation.js';
import { Kubelet, type RunningPod } from '../support/kubelet.js';
import { application, injectedPod, type PodOptions, plainPod } from '../support/meshed-pods.js';
import { enterLab, PodLab } from '../support/pod-lab.js';
import { availableExecutors, type Executor, eventually } from '../support/sluice.js';
import { PORT } from './pods-application.js';
import { ask, connects } from './pods-support.js';

const why = enterLab(import.meta.url);
const HOLD = ['--hold', '600000'] as const;
const NEVER = 'Never';
/** Without identities: they have no part in this. */
const MESH = installation('test');

describe('a pod with a proxy ends', { skip: why === '' ? false : why }, async () => {
  let lab: PodLab;
  let kubelet: Kubelet;
  let world: RunningPod;

  before(async () => {
    lab = await PodLab.start();
    kubelet = new Kubelet(lab);
    world = await kubelet.run(plainPod('world')).untilReady();
  });
  after(async () => {
    await kubelet.stop();
    lab.stop();
  });

  const executors = why === '' ? await availableExecutors() : [];
  const start = (name: string, native: boolean, io: Executor, options: PodOptions): Promise<RunningPod> => {
    const env = { SLUICE_IO: io, SLUICE_DRAIN_HOLD: '0s' };
    const additional = Object.entries(env).map(([key, value]) => ({ name: key, value }));
    const annotations = {
      'config.linkerd.io/proxy-enable-native-sidecar': String(native),
      'config.linkerd.io/proxy-admin-shutdown': 'enabled',
      'config.linkerd.io/shutdown-grace-period': '600s',
      'config.linkerd.io/proxy-additional-env': JSON.stringify(additional),
    };
    const graceSeconds = 1200;
    return kubelet.run(injectedPod(plainPod(name, { graceSeconds, ...options }), MESH, annotations)).untilReady();
  };
  /** What the application can reach: somebody in the world. */
  const reaches = async (pod: RunningPod): Promise<string> => {
    const { text } = await ask(pod, { call: 'http', host: world.ip, port: PORT.HTTP, agent: false });
    return text;
  };

  for (const io of executors) {
    it(`as a job: its sidecar ends after it (${io})`, async () => {
      const job = await start('job', true, io, { restartPolicy: NEVER });
      const proxy = job.container('sluice-proxy');
      assert.match(await reaches(job), /^served /);
      assert.equal(proxy.code, null);
      await ask(job, { call: 'exit', code: 0 });
      assert.equal(await job.untilOver(), 'Succeeded');
      assert.equal(await proxy.exited, 0);
      await kubelet.delete(job);
    });

    it(`as a job that asks its proxy to end (${io})`, async () => {
      const job = await start('job', false, io, { restartPolicy: NEVER });
      assert.match(await reaches(job), /^served /);
      const asked = await ask(job, { call: 'http', host: '127.0.0.1', port: 4191, path: '/shutdown', method: 'POST' });
      assert.equal(asked.status, 202);
      // It ends once the application is gone, and not before.
      assert.match(await reaches(job), /^served /);
      assert.equal(job.container('sluice-proxy').code, null);
      await ask(job, { call: 'exit', code: 0 });
      assert.equal(await job.untilOver(), 'Succeeded');
      assert.equal(job.container('sluice-proxy').code, 0);
      await kubelet.delete(job);
    });

    it(`while the application drains: nobody comes in, it goes out until it is gone (${io})`, async () => {
      const web = await start('web', false, io, { containers: [application(...HOLD)], graceSeconds: 1200 });
      const proxy = web.container('sluice-proxy');
      assert.match(await reaches(web), /^served /);
      assert.ok(await connects(web.ip, PORT.HTTP));
      const gone = kubelet.delete(web);
      // Both have got their SIGTERM.
      await web.container('application').said(/^SIGTERM$/);
      await proxy.said(/drain: inbound listeners closed/);
      await eventually(async () => !(await connects(web.ip, PORT.HTTP)), 'nobody comes in');
      for (let i = 0; i < 3; i++) assert.match(await reaches(web), /^served /);
      assert.equal(proxy.code, null);
      await ask(web, { call: 'exit', code: 0 });
      await gone;
      assert.equal(proxy.code, 0);
    });

    it(`with its sidecar serving in both directions until the application is gone (${io})`, async () => {
      const web = await start('web', true, io, { containers: [application(...HOLD)], graceSeconds: 1200 });
      const proxy = web.container('sluice-proxy');
      const gone = kubelet.delete(web);
      await web.container('application').said(/^SIGTERM$/);
      assert.match(await reaches(web), /^served /);
      const { text } = await ask(world, { call: 'http', host: web.ip, port: PORT.HTTP, agent: false });
      assert.match(text, /^served /);
      assert.ok(!proxy.lines.some((line) => line.includes('drain')), 'the sidecar has been told nothing');
      await ask(web, { call: 'exit', code: 0 });
      await gone;
      assert.equal(proxy.code, 0);
    });
  }

  it('not, when its sidecar crashes: that is started again', async () => {
    const web = await start('web', true, executors[0], {});
    const crashed = web.container('sluice-proxy');
    crashed.kill('SIGKILL');
    await web.until(() => web.container('sluice-proxy') !== crashed && web.ready);
    assert.match(await reaches(web), /^served /);
    const { text } = await ask(world, { call: 'http', host: web.ip, port: PORT.HTTP, agent: false });
    assert.match(text, /^served /);
    assert.equal(web.containers.find(({ spec }) => spec.name === 'application')?.restarts, 0);
    await kubelet.delete(web);
  });
});
