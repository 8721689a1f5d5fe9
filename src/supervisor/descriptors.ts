// File descriptors are what runs out first where nobody has raised the limit. Each client may need a connection to an endpoint: half of
// what there is is kept for these, and some for the process itself, so that whoever is accepted can be served.

/** For the admin port, name servers, files that are read, and connections of clients that are not counted yet. */
const OWN = 24;
/** Rings and what comes with them, for each worker. */
const PER_WORKER = 10;

export interface ClientShare {
  /** Clients that the process may have at once. */
  readonly clients: number;
  /** The limit of descriptors with which `limits.maxConnections` of each worker could be had. */
  readonly needed: number;
  /** Whether it can't. */
  readonly short: boolean;
}

/** `open` are open before the workers start. */
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
