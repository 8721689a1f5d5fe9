// What the process that makes the network namespace and the one that runs in it agree on.

/** Sluice runs in this group, so that rules can tell its connections from those of the clients. */
export const SLUICE_GID = 42_422;

export const NETWORKS = [
  { tool: 'iptables', network: '10.78.0.0/16', address: '10.78.0.1/16', port: 4140 },
  { tool: 'iptables', network: '10.96.0.0/16', address: '10.96.0.1/16', port: 4140 },
  { tool: 'ip6tables', network: 'fd78::/64', address: 'fd78::5/128', port: 4140 },
] as const;

export const pod = (number: number): string => `10.78.0.${number}`;
export const serviceAddress = (number: number): string => `10.96.0.${number}`;
