// Certificates that parts of the controller show: whatever the issuer becomes, and however quickly, the last one is of the last issuer.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type MeshIssuer, RenewingCertificate } from '../../src/controller/mesh-issuer.js';
import type { Authority } from '../../src/identity/issuing/authority.js';
import { eventually } from '../support/sluice.js';

/** An issuer that signs when it is told to. */
class SlowIssuer {
  readonly anchors = '';
  readonly problem = null;
  name = 'first';
  readonly changed: (() => void)[] = [];
  readonly #waiting: (() => void)[] = [];

  unusable(): null {
    return null;
  }

  onChange(changed: () => void): void {
    this.changed.push(changed);
  }

  get authority(): Authority {
    const { name } = this;
    const issue = async (): Promise<object> => {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
      if (name === 'broken') throw new Error('no');
      return { certificate: name, notAfter: new Date(Date.now() + 3_600_000) };
    };
    return { issue, intermediates: [] } as unknown as Authority;
  }

  /** Somebody wants one signed. */
  asked(): Promise<void> {
    return eventually(() => this.#waiting.length > 0, 'a request');
  }

  async sign(): Promise<void> {
    await this.asked();
    this.#waiting.shift()?.();
  }

  becomes(name: string): void {
    this.name = name;
    for (const changed of this.changed) changed();
  }
}

describe('a certificate that is kept', () => {
  it('is of the issuer that came last, also where one came while another was made', async () => {
    const issuer = new SlowIssuer();
    const errors: string[] = [];
    const logger = { error: (message: string) => errors.push(message) };
    const span = { lifetimeMs: 3_600_000, skewMs: 0 };
    const mesh: MeshIssuer = issuer;
    const kept = new RenewingCertificate('a service', ['a.test'], { issuer: mesh, logger, now: Date.now }, span);
    const shown: string[] = [];
    const steps: string[] = [];
    const trusted = async (): Promise<void> => {
      steps.push(`trusted with ${shown.length} shown`);
    };
    const first = kept.begin(({ cert }) => shown.push(cert), trusted);
    await issuer.asked();
    // Before there is a first one.
    issuer.becomes('second');
    await issuer.sign();
    assert.equal((await first).cert, 'first');
    await issuer.sign();
    await eventually(() => shown.length === 1, 'the second');
    issuer.becomes('third');
    issuer.becomes('broken');
    issuer.becomes('fourth');
    for (let times = 0; times < 3; times++) await issuer.sign();
    await eventually(() => shown.length === 4, 'one for each');
    assert.deepEqual(shown, ['second', 'fourth', 'fourth', 'fourth']);
    assert.deepEqual(
      steps,
      [0, 1, 2, 3].map((count) => `trusted with ${count} shown`),
    );
    issuer.becomes('broken');
    await issuer.sign();
    await eventually(() => errors.length === 1, 'a failure');
    assert.deepEqual(errors, ['the certificate of a service was not renewed']);
    issuer.becomes('fifth');
    await issuer.sign();
    await eventually(() => shown.length === 5, 'the fifth');
    kept.end();
    issuer.becomes('sixth');
    assert.equal(shown.length, 5);
  });
});
