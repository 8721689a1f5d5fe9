// Problems in the files that `identity` names, for `sluice check`.

import type { IdentityConfig } from '../config/identity-model.js';
import type { LoadedConfig } from '../config/load.js';
import { formatPath } from '../config/problem.js';
import { expiredSince, readToken } from './certify-client.js';
import type { CredentialFindings } from './check-files.js';
import { checkUpdate } from './check-update.js';
import { readPart, readPartOrText } from './credential-files.js';
import { checkAnchors } from './credentials.js';
import { CredentialProblem } from './problem.js';
import { IdentityProblem } from './source.js';

/** Reads what the source reads first; returns warnings. */
function readSource(identity: IdentityConfig): readonly string[] {
  const { source } = identity;
  switch (source.kind) {
    case 'files': {
      const [certificate, key, anchors] = [source.certificate, source.key, source.anchors].map(readPart);
      return checkUpdate({ certificate, key, anchors }, identity, Date.now()).warnings;
    }
    case 'spiffe':
      return [];
    case 'linkerd': {
      const since = expiredSince(readToken(source.token), Date.now());
      const { warnings } = checkAnchors(readPartOrText(source.anchors, 'identity.linkerd.anchors'), Date.now());
      // Kubernetes may replace it before it is needed.
      return since === '' ? warnings : [...warnings, `${source.token}: the token expired at ${since}`];
    }
  }
}

/** `file` is the configuration as the user named it. */
export function identityFindings(file: string, { config: { identity }, locate }: LoadedConfig): CredentialFindings {
  if (identity === null) return { problems: [], warnings: [] };
  const { source } = identity;
  const at = (path: string | null, message: string) => {
    const found = Object.entries(source).find(([, value]) => value === path);
    const key = ['identity', source.kind, ...(found === undefined ? [] : [found[0]])];
    return { file, ...locate(key), path: formatPath(key), message };
  };
  try {
    return { problems: [], warnings: readSource(identity).map((warning) => at(null, warning)) };
  } catch (error) {
    if (error instanceof CredentialProblem) return { problems: [at(error.file, error.message)], warnings: [] };
    if (error instanceof IdentityProblem) return { problems: [at(null, error.message)], warnings: [] };
    throw error;
  }
}
