// Shares out file descriptors, the first resource to run out if the limit has not been raised. Each client may need a connection to an
// endpoint. So half of the limit is reserved for those, and some for the process itself: an accepted client can then be served.

/** For the admin port, name servers, files being read, and clients not counted yet. */
const OWN = 24;
/** Rings and related descriptors, per worker. */
const PER_WORKER = 10;

export interface ClientShare {
  /** Maximum number of clients of the process. */
  readonly clients: number;
  /** The limit on descriptors required for every worker's `limits.maxConnections`. */
  readonly needed: number;
  /** Whether the limit is lower than that. */
  readonly short: boolean;
}

/** `open`: descriptors open before the workers start. */
export function clientShare(limit: number, open: number, workers: number, maxConnections: number): ClientShare {
  const own = open + OWN + PER_WORKER * workers;
  const wanted = workers * maxConnections;
  const clients = Math.max(1, Math.floor((limit - own) / 2));
  return { clients: Math.min(clients, wanted), needed: own + 2 * wanted, short: clients < wanted };
}

export function warnOfDescriptors(
  logger: { warn(message: string, fields: Record<string, unknown>): void },
  limit: number,
  { clients, needed, short }: ClientShare,
): void {
  if (!short) return;
  logger.warn('limits.maxConnections is more than the limit of file descriptors allows', {
    limit,
    clients,
    needed,
    help: `start it with ulimit -n ${needed} or LimitNOFILE=${needed}, or lower limits.maxConnections`,
  });
}
