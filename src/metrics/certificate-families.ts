// Metric families of certificates, keys and CAs in files, which the main thread reads.

import type { UsedCertificate } from './certificate-counts.js';
import { type Family, NONE } from './family.js';

/** Maximum number of series for single certificates; if there are more, those that expire first. */
const MAX_CERTIFICATES = 256;

const firstToEnd = (used: readonly UsedCertificate[]): readonly UsedCertificate[] =>
  used.length <= MAX_CERTIFICATES
    ? used
    : [...used].sort((a, b) => a.notAfterMs - b.notAfterMs).slice(0, MAX_CERTIFICATES);

export const CERTIFICATE_FAMILIES: readonly Family[] = [
  {
    name: 'sluice_certificate_expires_in_seconds',
    type: 'gauge',
    help: `Time until a certificate (or the first to expire of its chain or bundle) expires; at most ${MAX_CERTIFICATES}, those that expire first`,
    samples: ({ atMs, certificates }) =>
      firstToEnd(certificates.used).map(({ use, name, certificate, notAfterMs }) => ({
        value: Math.round((notAfterMs - atMs) / 1000),
        labels: { use, name, certificate },
      })),
  },
  {
    name: 'sluice_certificate_loads_total',
    type: 'counter',
    help: 'Times that certificate files were read, by whether they could be used',
    samples: ({ certificates: { loaded, failed } }) => [
      { value: loaded, labels: { result: 'ok' } },
      { value: failed, labels: { result: 'failed' } },
    ],
  },
  {
    name: 'sluice_certificates_broken',
    type: 'gauge',
    help: 'Certificates, keys and bundles whose files cannot be used at present: the last usable ones stay in use',
    samples: ({ certificates }) => [{ value: certificates.broken, labels: NONE }],
  },
];
