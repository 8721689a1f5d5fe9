// Finds all problems in the certificate and key files that a configuration names, for `sluice check`.
import { relative } from 'node:path';
import type { LoadedConfig } from '../config/load.js';
import { formatPath, type KeyPath, type Problem } from '../config/problem.js';
import type { CertificateConfig } from '../config/tls-model.js';
import { readAnchors, readCertificate } from './credential-files.js';
import type { Purpose } from './credentials.js';
import { CredentialProblem } from './problem.js';
import { systemAnchors, systemTrustFile } from './system-trust.js';

/** The shortest way to write a path from here. */
function shortName(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}

export interface CredentialFindings {
  readonly problems: readonly Problem[];
  /** Usable, but not perfect. */
  readonly warnings: readonly Problem[];
}

/** `file` is the configuration as the user named it. */
export function credentialFindings(file: string, { config, locate }: LoadedConfig): CredentialFindings {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const note = (into: Problem[], key: KeyPath, message: string): void => {
    into.push({ file, ...locate(key), path: formatPath(key), message });
  };
  const check = (
    key: KeyPath,
    read: () => { readonly warnings: readonly string[] },
    keyOf: (at: string) => KeyPath,
  ): void => {
    try {
      for (const warning of read().warnings) note(warnings, key, warning);
    } catch (error) {
      if (!(error instanceof CredentialProblem)) throw error;
      note(problems, keyOf(error.file), `${shortName(error.file)} ${error.reason}`);
    }
  };
  const certificate = (path: KeyPath, files: CertificateConfig, purpose: Purpose): void =>
    check(
      [...path, 'certificate'],
      () => readCertificate(files, { purpose, names: files.names }),
      (at) => [...path, at === files.key && at !== files.certificate ? 'key' : 'certificate'],
    );
  const anchors = (key: KeyPath, path: string): void =>
    check(
      key,
      () => readAnchors(path),
      () => key,
    );
  for (const [index, { tls }] of config.listeners.entries()) {
    const path = ['listeners', index, 'tls'];
    for (const [number, files] of (tls?.certificates ?? []).entries())
      certificate([...path, 'certificates', number], files, 'server');
    if (tls !== null && tls.clientAuthority !== null) anchors([...path, 'clientAuthority'], tls.clientAuthority);
  }
  for (const { name, tls } of config.services) {
    if (tls === null) continue;
    const path = ['services', name, 'tls'];
    if (tls.certificate !== null) certificate(path, tls.certificate, 'client');
    if (tls.ca !== null) anchors([...path, 'ca'], tls.ca);
    else
      check(
        path,
        () => systemAnchors(systemTrustFile(process.env), Date.now()),
        () => path,
      );
  }
  return { problems, warnings };
}
