// `tls` of listeners and of services, after parsing.

export type TlsVersion = '1.2' | '1.3';

/** Absolute paths. */
export interface CertificateConfig {
  readonly certificate: string;
  readonly key: string;
  /** Server names that it is for; null: as the certificate says. */
  readonly names: readonly string[] | null;
}

/** TLS that a listener ends. */
export interface ListenerTlsConfig {
  /** The first is for clients that name no server that is known. */
  readonly certificates: readonly CertificateConfig[];
  readonly minVersion: TlsVersion;
  /** null: what the listener can serve. */
  readonly alpn: readonly string[] | null;
  /** Path of who signs clients' certificates. */
  readonly clientAuthority: string | null;
  readonly clientCertificate: 'none' | 'optional' | 'required';
  readonly tickets: boolean;
}

/** TLS that endpoints are dialled with. */
export interface ServiceTlsConfig {
  /** Whom their certificates must be for; null: each for its endpoint's own name. */
  readonly serverName: string | null;
  /** Path of the authorities; null: those of the system. */
  readonly ca: string | null;
  readonly certificate: CertificateConfig | null;
  readonly minVersion: TlsVersion;
  /** null: what the service speaks. */
  readonly alpn: readonly string[] | null;
}
