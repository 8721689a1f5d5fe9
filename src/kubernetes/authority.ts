// Names of Services' ports, used to request endpoints: `name.namespace.svc.cluster.local:port`.

export interface Authority {
  /** Of the Service. */
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  /** A single pod of it; empty: all. */
  readonly hostname: string;
}

const DEFAULT_PORT = 80;

export const authorityText = (namespace: string, name: string, port: number, clusterDomain: string): string =>
  `${name}.${namespace}.svc.${clusterDomain}:${port}`;

/** Null: not a Service's name. */
export function readAuthority(text: string, clusterDomain: string): Authority | null {
  const match = /^([^:]*?)\.?(?::(\d{1,5}))?$/.exec(text.toLowerCase());
  if (match === null) return null;
  const port = match[2] === undefined ? DEFAULT_PORT : Number(match[2]);
  const suffix = `.svc.${clusterDomain.toLowerCase()}`;
  if (port === 0 || port > 65_535 || !match[1].endsWith(suffix)) return null;
  const labels = match[1].slice(0, -suffix.length).split('.');
  if (labels.some((label) => label === '') || labels.length < 2 || labels.length > 3) return null;
  const [name, namespace] = labels.slice(-2);
  return { namespace, name, port, hostname: labels.length === 3 ? labels[0] : '' };
}
