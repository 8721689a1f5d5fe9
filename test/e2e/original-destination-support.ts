// What the process that makes the network namespace and the one that runs in it agree on.

/** Sluice runs in this group, so that rules can tell its connections from those of the clients. */
export const SLUICE_GID = 42_421;

/** The first host of each family has servers of all kinds, the second one has none. `port` is Sluice's listener. */
export const ADDRESSES = [
  { tool: 'iptables', bits: 32, port: 15_001, hosts: ['10.77.0.1', '10.77.0.2'] },
  { tool: 'ip6tables', bits: 128, port: 15_006, hosts: ['fd77::1', 'fd77::2'] },
] as const;

/** Addresses that all lead here, redirected as those of the first family; the server on PORT.MANY has them all. */
export const MANY = { network: '127.77.0.0/16', host: (i: number): string => `127.77.${i >> 8}.${i & 255}` } as const;

/** Redirected to the listener of the family, its own port included. */
export const REDIRECTED_PORTS = '7001:7099,15001,15006';
/** IPv4, but redirected to the listener for IPv6, which takes both families. */
export const WRAPPED_PORT = 7100;
/** IPv4, redirected to a listener that ends TLS. */
export const SECURE_PORT = 7101;
export const SECURE_LISTENER = 15_007;

export const PORT = {
  HTTP1: 7001,
  HTTP2: 7002,
  GREETS: 7003,
  ECHO: 7004,
  OPAQUE: 7005,
  NOBODY: 7006,
  MATCHED: 7007,
  TLS: 7008,
  MANY: 7009,
} as const;
