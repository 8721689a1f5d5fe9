// All benchmarks, in the order in which a request meets what they measure.

import type { MicroBenchmark } from './benchmark.js';
import { pick, record } from './benchmarks/counting.js';
import { frameLoop } from './benchmarks/frames.js';
import { detector, requestHead, responseHead } from './benchmarks/heads.js';
import { repeatedFields, variedFields } from './benchmarks/hpack.js';
import { tlsRecord } from './benchmarks/tls.js';
import { ownCertificate } from './certificate.js';

export async function allBenchmarks(): Promise<readonly MicroBenchmark[]> {
  const certificate = await ownCertificate('micro.local');
  return [
    detector,
    requestHead,
    responseHead,
    repeatedFields,
    variedFields,
    frameLoop,
    pick,
    record,
    tlsRecord(certificate, 1024),
    tlsRecord(certificate, 16_384),
  ];
}
