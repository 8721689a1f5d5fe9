// Reads the trust anchors of an installed mesh with kubectl. People who apply manifests have kubectl, with credentials for the cluster.
import { execFile } from 'node:child_process';
import { textOf, valueAt } from '../inject/plain.js';
import { messageOf } from './usage.js';

const TIMEOUT_MS = 10_000;
const MAX_BYTES = 1 << 20;

export const isPem = (text: string): boolean => text.includes('-----BEGIN CERTIFICATE-----');

function kubectl(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { encoding: 'utf8', timeout: TIMEOUT_MS, maxBuffer: MAX_BYTES } as const;
    execFile('kubectl', args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else if (error.code === 'ENOENT') reject(new Error('there is no kubectl to ask the cluster with'));
      else reject(new Error(`kubectl: ${stderr.trim().split('\n').at(-1) || error.message}`));
    });
  });
}

/** The anchors of the mesh in `namespace` as PEM, or why there are none. */
export async function clusterAnchors(namespace: string): Promise<{ anchors: string } | { problem: string }> {
  try {
    // Loaded only when needed: this import also loads the code that issues certificates.
    const { BUNDLE_KEY } = await import('../controller/issuer-material.js');
    const { TRUST_ROOTS } = await import('../controller/issuer-secret.js');
    const args = [
      'get',
      'configmap',
      TRUST_ROOTS,
      '--namespace',
      namespace,
      '--output',
      'json',
      '--request-timeout',
      '5s',
    ];
    const answer = await kubectl(args);
    let found: unknown;
    try {
      found = JSON.parse(answer);
    } catch {
      return { problem: 'the output of kubectl is not valid JSON' };
    }
    const anchors = textOf(valueAt(found, ['data', BUNDLE_KEY]));
    return isPem(anchors) ? { anchors } : { problem: `configmap ${TRUST_ROOTS} has no certificate in ${BUNDLE_KEY}` };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}
