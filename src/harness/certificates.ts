// Certificates for TLS benches, made like those of `sluice identity dev`: ECDSA P-256, a leaf and its issuer.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sluiceCommand } from './paths.js';
import type { Processes } from './processes.js';

export interface Credentials {
  readonly certificate: string;
  readonly key: string;
  /** Certificate and key in one file, as HAProxy expects them. */
  readonly both: string;
}

export interface Certificates {
  /** File of the root. */
  readonly anchors: string;
  /** For servers that clients reach as `localhost`. */
  readonly localhost: Credentials;
  /** Of a workload that is called. */
  readonly web: Credentials;
  /** Of a workload that calls. */
  readonly client: Credentials;
}

/** The name of `web` in the mesh. */
export const WEB = 'web.default.serviceaccount.identity.sluice.cluster.local';

/** Creates them in the session's directory, once. Throws if Sluice is not built. */
export function certificates(session: Processes): Certificates {
  const directory = join(session.directory, 'certificates');
  if (!existsSync(directory)) {
    const [node, ...program] = sluiceCommand() ?? [];
    if (node === undefined) throw new Error('Sluice is not built (make build)');
    execFileSync(node, [...program, 'identity', 'dev', directory], { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  const of = (name: string): Credentials => {
    const certificate = join(directory, `${name}.pem`);
    const key = join(directory, `${name}-key.pem`);
    const both = `${readFileSync(certificate, 'utf8')}${readFileSync(key, 'utf8')}`;
    return { certificate, key, both: session.write(`${name}-both.pem`, both) };
  };
  return {
    anchors: join(directory, 'anchors.pem'),
    localhost: of('localhost'),
    web: of('web.default'),
    client: of('client.default'),
  };
}
