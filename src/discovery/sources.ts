// The sources of a running proxy. A new kind of endpoint is one more line here.
import { DnsSource, type NameCounts } from './dns-source.js';
import type { FileCounts } from './file-source.js';
import { LazySource } from './lazy-source.js';
import { DnsEndpointResolver } from './resolver.js';
import type { DiscoveryLogger, Sources } from './source.js';
import { StaticSource } from './static-source.js';

export function standardSources(
  logger: DiscoveryLogger,
  limits: () => { readonly maxFileBytes: number; readonly pollMs: number },
  counts: FileCounts,
  names: Set<NameCounts>,
): Sources {
  const dns = new DnsSource({ resolver: new DnsEndpointResolver(), logger, counts: names });
  const file: Sources['file'] = new LazySource(async () => {
    const { FileSource } = await import('./file-source.js');
    return new FileSource({ logger, limits, counts });
  });
  return { static: new StaticSource(), dns, srv: dns, file };
}
