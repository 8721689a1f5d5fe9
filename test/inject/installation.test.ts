// What holds where no annotation says anything.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { controllerOptions } from '../../src/cli/controller.js';
import { UsageError } from '../../src/cli/usage.js';
import { installation, opaqueAnnotation } from '../../src/inject/installation.js';
import { formatSpans } from '../../src/redirect/port-list.js';
import { injected, mesh, pod, variablesOf } from './pods.js';

const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1' };

describe('the opaque ports of an installation', () => {
  it('are those of Linkerd today, or of 2.10, or any list', () => {
    const list = (text?: string): string =>
      formatSpans(controllerOptions(text === undefined ? {} : { 'opaque-ports': text }, env).opaquePorts);
    assert.equal(list(), '25,587,3306,4444,5432,6379,9300,11211');
    assert.equal(list('linkerd-2.10'), '25,443,587,3306,5432,11211');
    assert.equal(list('4406,5000-5010'), '4406,5000-5010');
    assert.equal(list(''), '');
    for (const text of ['mysql', '70000', '+25'])
      assert.throws(
        () => list(text),
        (error) => error instanceof UsageError && error.message.startsWith('--opaque-ports: '),
      );
  });

  it('hold for pods of which nobody says anything, and are added to', () => {
    const { opaquePorts } = controllerOptions({ 'opaque-ports': 'linkerd-2.10' }, env);
    const { annotations } = installation('1', { annotations: opaqueAnnotation(opaquePorts) });
    const opaque = (said: Record<string, string>): string =>
      variablesOf(injected(pod(said), { mesh: mesh({ annotations }) }).pod).SLUICE_SIDECAR_OPAQUE_PORTS;
    assert.equal(opaque({}), '25,443,587,3306,5432,11211');
    assert.equal(opaque({ 'config.linkerd.io/opaque-ports': '+4406' }), '25,443,587,3306,4406,5432,11211');
    assert.equal(annotations['config.linkerd.io/skip-inbound-ports'], '4567,4568');
  });
});
