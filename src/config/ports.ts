// The set of opaque ports: a default list and the file's changes.
import type { PortRange } from './authorization-model.js';

/**
 * Protocols whose server speaks first, or that are not recognisable: SMTP, submission, MySQL, Galera, PostgreSQL, Redis, Elasticsearch,
 * memcached.
 */
export const defaultOpaquePorts: readonly number[] = [25, 587, 3306, 4444, 5432, 6379, 9300, 11211];

/** The list of Linkerd 2.10. */
export const olderOpaquePorts: readonly number[] = [25, 443, 587, 3306, 5432, 11211];

export interface PortChanges {
  readonly only?: readonly PortRange[] | undefined;
  readonly add?: readonly PortRange[] | undefined;
  readonly remove?: readonly PortRange[] | undefined;
}

function* each(ranges: readonly PortRange[]): Generator<number> {
  for (const { first, last } of ranges) for (let port = first; port <= last; port++) yield port;
}

export const portSet = (ranges: readonly PortRange[]): Set<number> => new Set(each(ranges));

/** `annotated`: those of `opaque` that the file names. */
export function opaquePortSets(changes: PortChanges): { opaque: Set<number>; annotated: Set<number> } {
  const annotated = new Set(each(changes.only ?? changes.add ?? []));
  const opaque = new Set(changes.only === undefined ? [...defaultOpaquePorts, ...annotated] : annotated);
  for (const port of each(changes.remove ?? [])) {
    opaque.delete(port);
    annotated.delete(port);
  }
  return { opaque, annotated };
}
