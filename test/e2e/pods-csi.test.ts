// Injected pods whose certificates a csi-driver writes into a volume: the kubelet of the tests plays the driver, as cert-manager's does it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { csiIssuer } from '../../src/inject/csi.js';
import { installation } from '../../src/inject/installation.js';
import { GivenObjects, Kubelet, type RunningPod } from '../support/kubelet.js';
import { LabDestinations, nameOf } from '../support/lab-mesh.js';
import { injectedPod, plainPod } from '../support/meshed-pods.js';
import { DATES, type Dates, Pki } from '../support/pki.js';
import { enterLab, PodLab } from '../support/pod-lab.js';
import type { CsiVolume, Pod } from '../support/pod-objects.js';
import { availableExecutors, eventually } from '../support/sluice.js';
import { PORT } from './pods-application.js';
import { accessLines, ask } from './pods-support.js';

const why = enterLab(import.meta.url);
const SERVICE = ['10.96.0.80', 'fd96::80'] as const;
const TWO_HOURS_MS = 2 * 3_600_000;
const TIMEOUT_MS = 120_000;

/** Issues what volumes ask for. */
class Driver extends GivenObjects {
  readonly #renew = new Map<string, (pki: Pki, dates: Dates) => Promise<void>>();

  constructor(private readonly pki: Pki) {
    super();
  }

  async csi({ driver, volumeAttributes = {} }: CsiVolume, pod: Pod, write: (files: Record<string, string>) => void) {
    const attribute = (name: string): string => volumeAttributes[`${driver}/${name}`] ?? '';
    assert.equal(driver, 'csi.cert-manager.io');
    assert.equal(attribute('issuer-name'), 'sluice-workloads');
    // Go's os.Expand, of what the driver knows of a pod.
    const { name, namespace } = pod.metadata;
    const known: Record<string, string> = { POD_NAME: name, POD_NAMESPACE: namespace };
    const dns = attribute('dns-names').replaceAll(/\$\{(\w+)\}/g, (_all, key: string) => known[key] ?? '');
    const issue = async (pki: Pki, dates: Dates): Promise<void> => {
      const { chain, key } = await pki.leaf({ dns: [dns], kind: 'rsa', dates });
      write({
        [attribute('certificate-file')]: chain,
        [attribute('privatekey-file')]: key,
        [attribute('ca-file')]: pki.anchor,
      });
    };
    this.#renew.set(name, issue);
    await issue(this.pki, DATES.endingIn(TWO_HOURS_MS));
  }

  /** Replaces what is in the pod's volume. */
  renew(pod: RunningPod, pki: Pki): Promise<void> | undefined {
    return this.#renew.get(pod.name)?.(pki, DATES.usual());
  }
}

describe('certificates from a csi-driver', { skip: why === '' ? false : why }, () => {
  let lab: PodLab;
  let kubelet: Kubelet;
  let driver: Driver;
  let destinations: LabDestinations;
  let pki: Pki;
  let web: RunningPod;
  let client: RunningPod;

  before(async () => {
    lab = await PodLab.start();
    pki = await Pki.make();
    driver = new Driver(pki);
    kubelet = new Kubelet(lab, driver);
    destinations = await LabDestinations.start(pki);
    lab.setServices([destinations.service]);
    const mesh = installation('test', { trustAnchors: pki.anchor, csiIssuer: csiIssuer('sluice-workloads') });
    const executors = await availableExecutors();
    const start = (name: string, io = executors[0]): RunningPod => {
      const env = JSON.stringify([{ name: 'SLUICE_IO', value: io }]);
      const annotations = { 'config.linkerd.io/proxy-additional-env': env };
      return kubelet.run(injectedPod(plainPod(name, { account: name }), mesh, annotations));
    };
    [web, client] = [start('web'), start('client', executors.at(-1))];
    await Promise.all([web.untilReady(), client.untilReady()]);
    const told = destinations.tell({
      name: 'web',
      addresses: SERVICE,
      ports: [PORT.HTTP],
      opaque: [],
      members: [{ pod: web, meshed: true }],
    });
    lab.setServices([destinations.service, told]);
  });
  after(async () => {
    await destinations?.stop();
    await kubelet?.stop();
    lab?.stop();
  });

  /** Until requests on connections of their own are known by the client's name; one that nobody was told where to go in time is not. */
  async function known(path: string): Promise<void> {
    const asked = async (): Promise<boolean> => {
      const { status } = await ask(client, { call: 'http', host: 'web', port: PORT.HTTP, path, agent: false });
      assert.equal(status, 200);
      return accessLines(web).some((line) => line.path === path && line.identity === nameOf('client'));
    };
    await eventually(asked, `${path} of ${nameOf('client')}`, TIMEOUT_MS);
  }

  const leftSeconds = (pod: RunningPod): Promise<number> => pod.metric('sluice_identity_expires_in_seconds');

  it('are who pods are to each other', async () => {
    await known('/first');
    const target = { direction: 'outbound', tls: 'true', server_id: nameOf('web') };
    assert.ok((await client.metric('response_total', target)) >= 1);
    for (const pod of [web, client]) assert.ok((await leftSeconds(pod)) <= TWO_HOURS_MS / 1000);
  });

  it('are read again when the driver has renewed them, by another issuer of the same root', async () => {
    const next = await pki.reissued('next');
    for (const pod of [client, web]) {
      await driver.renew(pod, next);
      await eventually(
        async () => (await leftSeconds(pod)) > TWO_HOURS_MS / 1000,
        `${pod.name} has the next one`,
        TIMEOUT_MS,
      );
      await known(`/renewed-${pod.name}`);
    }
  });
});
