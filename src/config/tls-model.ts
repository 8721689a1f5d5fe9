// `tls` of listeners and of services, after parsing.

export type TlsVersion = '1.2' | '1.3';

/** Absolute paths. */
export interface CertificateConfig {
  readonly certificate: string;
  readonly key: string;
  /** Its server names; null: those in the certificate. */
  readonly names: readonly string[] | null;
}

/** TLS terminated by a listener. */
export interface ListenerTlsConfig {
  /** The first one is the default. */
  readonly certificates: readonly CertificateConfig[];
  readonly minVersion: TlsVersion;
  /** null: what the listener can serve. */
  readonly alpn: readonly string[] | null;
  /** Path of the CAs for client certificates. */
  readonly clientAuthority: string | null;
  readonly clientCertificate: 'none' | 'optional' | 'required';
  readonly tickets: boolean;
}

/** TLS for dialling endpoints. */
export interface ServiceTlsConfig {
  /** The name that their certificates must be for; null: each endpoint's own. */
  readonly serverName: string | null;
  /** Path of the CAs; null: the system's. */
  readonly ca: string | null;
  readonly certificate: CertificateConfig | null;
  readonly minVersion: TlsVersion;
  /** null: what the service speaks. */
  readonly alpn: readonly string[] | null;
}
