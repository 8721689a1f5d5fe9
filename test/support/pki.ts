// A public key infrastructure for tests: a root, an intermediate issuer, and leaves right or wrong as a test wants them.
// Built on the library alone, so that what the product issues and what it checks are compared with something of another make.
import 'reflect-metadata';
import { type webcrypto as crypto, webcrypto } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

const HOUR = 3_600_000;

/** P-256 is made in no time; an RSA key takes some 100 ms, so all leaves of a test file share one. */
export type KeyKind = 'p256' | 'p384' | 'rsa' | 'rsa3072';

export interface Dates {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const now = (): number => Date.now();

/** What is usual, and the two ways to be wrong. Made when asked for, so that tests that turn the clock get theirs. */
export const DATES = {
  usual: (): Dates => ({ notBefore: new Date(now() - HOUR), notAfter: new Date(now() + 24 * HOUR) }),
  expired: (): Dates => ({ notBefore: new Date(now() - 48 * HOUR), notAfter: new Date(now() - 24 * HOUR) }),
  notYet: (): Dates => ({ notBefore: new Date(now() + 24 * HOUR), notAfter: new Date(now() + 48 * HOUR) }),
  /** Ends this many milliseconds from now; certificates know whole seconds. */
  endingIn: (ms: number): Dates => ({ notBefore: new Date(now() - HOUR), notAfter: new Date(now() + ms) }),
} as const;

export interface LeafOptions {
  /** DNS names; the first is the common name too, where it is short enough. */
  readonly dns?: readonly string[];
  readonly uris?: readonly string[];
  readonly ips?: readonly string[];
  readonly kind?: KeyKind;
  readonly dates?: Dates;
  /** Signed by the root; the chain is the leaf alone. */
  readonly byRoot?: boolean;
  /** `withoutIntermediate`: the intermediate is missing. `reversed`: in the wrong order. `withRoot`: the root is sent as well. */
  readonly chain?: 'usual' | 'withoutIntermediate' | 'reversed' | 'withRoot';
  /** Which extended key usages; usual: both. */
  readonly usages?: readonly ('server' | 'client')[];
  /** Claims to be an authority. */
  readonly authority?: boolean;
}

/** PEM texts of a certificate and its key. */
export class Certified {
  constructor(
    /** The certificate alone. */
    readonly certificate: string,
    /** The certificate, then what signed it, without the root. */
    readonly chain: string,
    /** PKCS#8. */
    readonly key: string,
  ) {}

  /** Writes `NAME.pem` (the chain) and `NAME-key.pem`; returns their paths. */
  write(directory: string, name: string): { certificate: string; key: string } {
    const paths = { certificate: join(directory, `${name}.pem`), key: join(directory, `${name}-key.pem`) };
    mkdirSync(directory, { recursive: true });
    writeFileSync(paths.certificate, this.chain);
    writeFileSync(paths.key, this.key, { mode: 0o600 });
    return paths;
  }
}

interface Signer {
  readonly certificate: x509.X509Certificate;
  readonly keys: crypto.CryptoKeyPair;
}

const rsaKeys = new Map<KeyKind, Promise<crypto.CryptoKeyPair>>();

/** The name of an account in a mesh, as Linkerd writes it. */
export const meshName = (account: string, namespace = 'test', trustDomain = 'cluster.local'): string =>
  `${account}.${namespace}.serviceaccount.identity.linkerd.${trustDomain}`;

/** The same account as a SPIFFE identity. */
export const spiffeName = (account: string, namespace = 'test', trustDomain = 'cluster.local'): string =>
  `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`;

export interface PkiOptions {
  readonly name?: string;
  readonly kind?: KeyKind;
  readonly rootDates?: Dates;
  readonly issuerDates?: Dates;
}

/** A root with one intermediate issuer. Two of them know nothing of each other: the second is the wrong authority of the first. */
export class Pki {
  private constructor(
    private readonly root: Signer,
    private readonly signer: Signer,
  ) {}

  static async make({ name = 'test', kind = 'p256', ...dates }: PkiOptions = {}): Promise<Pki> {
    const keys = await makeKeys(kind);
    const certificate = await sign({
      subject: `CN=root.${name}`,
      keys,
      by: null,
      dates: dates.rootDates ?? DATES.usual(),
      extensions: authorityExtensions(2),
    });
    const root = { certificate, keys };
    return new Pki(root, await intermediate(root, name, kind, dates.issuerDates));
  }

  /** Of the same root, another intermediate: what a rotation of the issuer brings. */
  async reissued(name: string, dates?: Dates): Promise<Pki> {
    return new Pki(this.root, await intermediate(this.root, name, 'p256', dates));
  }

  /** The root, PEM: what peers trust. */
  get anchor(): string {
    return pem(this.root.certificate);
  }

  /** The intermediate with its key: what an identity service issues with. */
  get issuer(): Promise<Certified> {
    return certified(this.signer, '');
  }

  /** The root with its key. */
  get authority(): Promise<Certified> {
    return certified(this.root, '');
  }

  /** Writes the root to `NAME.pem`; returns its path. */
  writeAnchor(directory: string, name = 'anchors'): string {
    const path = join(directory, `${name}.pem`);
    mkdirSync(directory, { recursive: true });
    writeFileSync(path, this.anchor);
    return path;
  }

  /** A certificate for the account of a mesh, under its DNS name and its SPIFFE identity. */
  workload(account: string, options: LeafOptions = {}): Promise<Certified> {
    return this.leaf({ dns: [meshName(account)], uris: [spiffeName(account)], ...options });
  }

  async leaf(options: LeafOptions): Promise<Certified> {
    const { dns = [], uris = [], ips = [], kind = 'p256', dates = DATES.usual(), byRoot = false } = options;
    const by = byRoot ? this.root : this.signer;
    const keys = await leafKeys(kind);
    const names: x509.JsonGeneralNames = [
      ...dns.map((value) => ({ type: 'dns' as const, value })),
      ...uris.map((value) => ({ type: 'url' as const, value })),
      ...ips.map((value) => ({ type: 'ip' as const, value })),
    ];
    const subject = dns.length > 0 && dns[0].length <= 64 ? `CN=${dns[0]}` : '';
    const usages = options.usages ?? ['server', 'client'];
    const extensions: x509.Extension[] = [
      new x509.BasicConstraintsExtension(options.authority === true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.digitalSignature | (options.authority === true ? x509.KeyUsageFlags.keyCertSign : 0),
        true,
      ),
      new x509.ExtendedKeyUsageExtension(
        usages.map((usage) => x509.ExtendedKeyUsage[usage === 'server' ? 'serverAuth' : 'clientAuth']),
      ),
    ];
    if (names.length > 0) extensions.push(new x509.SubjectAlternativeNameExtension(names, subject === ''));
    const leaf = await sign({ subject, keys, by, dates, extensions });
    return certified({ certificate: leaf, keys }, this.behind(options.chain ?? 'usual', byRoot, leaf));
  }

  /** The whole chain that is sent for `leaf`; empty: the leaf alone. */
  private behind(how: NonNullable<LeafOptions['chain']>, byRoot: boolean, leaf: x509.X509Certificate): string {
    const middle = byRoot ? '' : pem(this.signer.certificate);
    switch (how) {
      case 'withoutIntermediate':
        return '';
      case 'usual':
        return pem(leaf) + middle;
      case 'reversed':
        return middle + pem(leaf);
      case 'withRoot':
        return pem(leaf) + middle + this.anchor;
    }
  }
}

/** A request for a certificate, PEM, and the key that it is signed with. */
export async function signingRequest(
  dns: readonly string[],
  {
    uris = [],
    kind = 'p256',
    authority = false,
  }: { uris?: readonly string[]; kind?: KeyKind; authority?: boolean } = {},
): Promise<{ request: string; der: Buffer; key: string }> {
  const keys = await leafKeys(kind);
  const extensions: x509.Extension[] = [];
  if (authority) extensions.push(new x509.BasicConstraintsExtension(true, undefined, true));
  if (dns.length + uris.length > 0)
    extensions.push(
      new x509.SubjectAlternativeNameExtension([
        ...dns.map((value) => ({ type: 'dns' as const, value })),
        ...uris.map((value) => ({ type: 'url' as const, value })),
      ]),
    );
  const made = await x509.Pkcs10CertificateRequestGenerator.create({
    name: '',
    keys: keys as Parameters<typeof x509.Pkcs10CertificateRequestGenerator.create>[0]['keys'],
    signingAlgorithm: signing(keys.privateKey),
    extensions,
  });
  return { request: `${made.toString('pem')}\n`, der: Buffer.from(made.rawData), key: await keyPem(keys.privateKey) };
}

function intermediate(root: Signer, name: string, kind: KeyKind, dates = DATES.usual()): Promise<Signer> {
  return makeKeys(kind).then(async (keys) => ({
    keys,
    certificate: await sign({
      subject: `CN=issuer.${name}`,
      keys,
      by: root,
      dates,
      extensions: authorityExtensions(0),
    }),
  }));
}

const ALGORITHMS = {
  p256: { name: 'ECDSA', namedCurve: 'P-256' },
  p384: { name: 'ECDSA', namedCurve: 'P-384' },
  rsa: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 },
  rsa3072: {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    publicExponent: new Uint8Array([1, 0, 1]),
    modulusLength: 3072,
  },
} as const;

/** Of authorities always new ones, or two of them would be the same. */
function makeKeys(kind: KeyKind): Promise<crypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHMS[kind], true, ['sign', 'verify']) as Promise<crypto.CryptoKeyPair>;
}

/** Leaves with RSA keys share one in this process, as it takes long to make. */
function leafKeys(kind: KeyKind): Promise<crypto.CryptoKeyPair> {
  if (!kind.startsWith('rsa')) return makeKeys(kind);
  const known = rsaKeys.get(kind) ?? makeKeys(kind);
  rsaKeys.set(kind, known);
  return known;
}

const signing = (key: crypto.CryptoKey): { name: string; hash: string } => ({
  name: key.algorithm.name,
  hash: (key.algorithm as { namedCurve?: string }).namedCurve === 'P-384' ? 'SHA-384' : 'SHA-256',
});

interface Signing {
  readonly subject: string;
  readonly keys: crypto.CryptoKeyPair;
  /** null: signs itself. */
  readonly by: Signer | null;
  readonly dates: Dates;
  readonly extensions: readonly x509.Extension[];
}

type CreateParams = Extract<Parameters<typeof x509.X509CertificateGenerator.create>[0], { signingKey: unknown }>;

async function sign({ subject, keys, by, dates, extensions }: Signing): Promise<x509.X509Certificate> {
  const publicKey = keys.publicKey as CreateParams['publicKey'];
  const signingKey = by?.keys.privateKey ?? keys.privateKey;
  return x509.X509CertificateGenerator.create({
    subject,
    issuer: by?.certificate.subject ?? subject,
    serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(12))).toString('hex'),
    ...dates,
    publicKey,
    signingKey: signingKey as CreateParams['signingKey'],
    signingAlgorithm: signing(signingKey),
    extensions: [
      ...extensions,
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create((by?.keys.publicKey ?? publicKey) as CreateParams['publicKey']),
    ],
  });
}

const authorityExtensions = (pathLength: number): x509.Extension[] => [
  new x509.BasicConstraintsExtension(true, pathLength, true),
  new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
];

const pem = (certificate: x509.X509Certificate): string => `${certificate.toString('pem')}\n`;

async function certified({ certificate, keys }: Signer, chain: string): Promise<Certified> {
  return new Certified(pem(certificate), chain === '' ? pem(certificate) : chain, await keyPem(keys.privateKey));
}

async function keyPem(key: crypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  const lines = der.toString('base64').replace(/.{64}/g, '$&\n').trimEnd();
  return `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`;
}
