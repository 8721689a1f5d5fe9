// An authority: a certificate that may sign others, with its key. This file fixes what it signs, whatever a request asks for.
import 'reflect-metadata';
import { randomBytes, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { isSelfSigned, orderProblem, readCertificates, subjectOf } from '../chain.js';
import { KEY_USAGE, keyUsage } from '../der.js';
import { readPrivateKey } from '../private-key.js';
import { CredentialProblem, orProblem, type Part } from '../problem.js';
import type { CryptoKey, KeyKind, KeyPair } from './keys.js';
import { keyPem, keyProblem, makeKeys, signingAlgorithm, signingKey } from './keys.js';

export interface Lifetime {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface AuthorityRequest extends Lifetime {
  /** The common name. */
  readonly name: string;
  readonly keys: KeyKind;
}

export interface LeafRequest extends Lifetime {
  /** DER of the public key (SubjectPublicKeyInfo). */
  readonly publicKey: Uint8Array;
  readonly dns: readonly string[];
  readonly uris: readonly string[];
}

export interface Leaf {
  readonly certificate: X509Certificate;
  readonly serial: string;
  readonly notAfter: Date;
}

type CreateParams = Extract<Parameters<typeof x509.X509CertificateGenerator.create>[0], { signingKey: unknown }>;
type LibraryKey = CreateParams['signingKey'];

/** RFC 5280, appendix A.1: ub-common-name. */
const MAX_COMMON_NAME = 64;
/** Below the 20 octets of RFC 5280, 4.1.2.2, and above the 64 random bits that the CA/Browser Forum asks for. */
const SERIAL_BYTES = 16;

export class Authority {
  private constructor(
    /** Its own certificate, followed by its chain, without the root unless it is the authority itself. */
    readonly chain: readonly X509Certificate[],
    private readonly key: CryptoKey,
    readonly keyIdentifier: string,
  ) {}

  /** Rejects with a CredentialProblem. */
  static async load(certificate: Part, key: Part): Promise<Authority> {
    const { file, bytes } = certificate;
    const certificates = orProblem(file, readCertificates(bytes));
    const privateKey = readPrivateKey(key).key;
    const problem =
      orderProblem(certificates, privateKey)?.replace('the key', `the key of ${key.file}`) ??
      authorityProblem(certificates[0]);
    if (problem !== null) throw new CredentialProblem(file, problem);
    const weak = keyProblem(privateKey);
    if (weak !== null) throw new CredentialProblem(key.file, `has ${weak}`);
    const behind = certificates.slice(1).filter((one) => !isSelfSigned(one));
    const identifier = await identifierOf(new x509.X509Certificate(certificates[0].raw));
    return new Authority([certificates[0], ...behind], await signingKey(privateKey), identifier);
  }

  /** Creates a root, which signs itself. */
  static async root(request: AuthorityRequest): Promise<{ authority: Authority; key: string }> {
    return Authority.create(request, null);
  }

  /** Creates an authority below this one that can only sign leaves. */
  subordinate(request: AuthorityRequest): Promise<{ authority: Authority; key: string }> {
    return Authority.create(request, this);
  }

  private static async create(
    { name, keys: kind, ...lifetime }: AuthorityRequest,
    by: Authority | null,
  ): Promise<{ authority: Authority; key: string }> {
    const keys = await makeKeys(kind);
    const certificate = await x509.X509CertificateGenerator.create({
      ...(await common(keys.publicKey as LibraryKey, lifetime)),
      subject: [{ CN: [name] }],
      issuer: by?.certificate.subject ?? [{ CN: [name] }],
      ...signing(by?.key ?? keys.privateKey),
      extensions: await authorityExtensions(keys, by),
    });
    const own = nodeCertificate(certificate);
    const chain = by === null || isSelfSigned(by.own) ? [own] : [own, ...by.chain];
    const authority = new Authority(chain, keys.privateKey, await identifierOf(certificate));
    return { authority, key: await keyPem(keys.privateKey) };
  }

  get own(): X509Certificate {
    return this.chain[0];
  }

  private get certificate(): x509.X509Certificate {
    return new x509.X509Certificate(this.own.raw);
  }

  /** The chain as PEM, as in a file. */
  get pem(): string {
    return this.chain.map(String).join('');
  }

  /** When the first certificate of the chain expires: a signed certificate can't be valid for longer. */
  get notAfter(): Date {
    return new Date(Math.min(...this.chain.map(({ validTo }) => Date.parse(validTo))));
  }

  /** When the whole chain has become valid. */
  get notBefore(): Date {
    return new Date(Math.max(...this.chain.map(({ validFrom }) => Date.parse(validFrom))));
  }

  /** The intermediates to send with a leaf: the chain without the root. */
  get intermediates(): readonly X509Certificate[] {
    return this.chain.filter((certificate) => !isSelfSigned(certificate));
  }

  /** Signs a leaf for servers and clients with exactly these names, which expires no later than the authority. */
  async issue({ publicKey, dns, uris, notBefore, notAfter }: LeafRequest): Promise<Leaf> {
    const end = new Date(Math.min(notAfter.getTime(), this.notAfter.getTime()));
    const key = await x509.PublicKey.create(Buffer.from(publicKey));
    const named = dns.length > 0 && dns[0].length <= MAX_COMMON_NAME;
    const certificate = await x509.X509CertificateGenerator.create({
      ...(await common(key, { notBefore, notAfter: end })),
      subject: named ? [{ CN: [dns[0]] }] : '',
      issuer: this.certificate.subject,
      ...signing(this.key),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | usageOf(key), true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        new x509.SubjectAlternativeNameExtension(
          [
            ...dns.map((value) => ({ type: 'dns' as const, value })),
            ...uris.map((value) => ({ type: 'url' as const, value })),
          ],
          // RFC 5280, 4.2.1.6: critical where there is no subject.
          !named,
        ),
        await x509.SubjectKeyIdentifierExtension.create(key),
        new x509.AuthorityKeyIdentifierExtension(this.keyIdentifier),
      ],
    });
    return { certificate: nodeCertificate(certificate), serial: certificate.serialNumber, notAfter: end };
  }
}

/** Why a certificate may not sign others; null: it may. */
function authorityProblem(certificate: X509Certificate): string | null {
  if (!certificate.ca)
    return `certificate 1 (${subjectOf(certificate)}) is not a CA certificate (CA:TRUE is missing), so it may not sign others; name the issuer's certificate`;
  const usage = keyUsage(certificate.raw);
  if (usage === null || (usage & KEY_USAGE.CERTIFICATES) !== 0) return null;
  return `certificate 1 (${subjectOf(certificate)}) has a key usage without keyCertSign: it may not sign others; have it reissued`;
}

const nodeCertificate = (certificate: x509.X509Certificate): X509Certificate =>
  new X509Certificate(Buffer.from(certificate.rawData));

/** TLS 1.2 encrypts to an RSA key in its older suites; nothing encrypts to an ECDSA key. */
const usageOf = ({ algorithm }: x509.PublicKey): number =>
  algorithm.name.startsWith('RSA') ? x509.KeyUsageFlags.keyEncipherment : 0;

const signing = (key: CryptoKey): { signingKey: LibraryKey; signingAlgorithm: { name: string; hash: string } } => ({
  signingKey: key as LibraryKey,
  signingAlgorithm: signingAlgorithm(key),
});

async function common<Key>(publicKey: Key, { notBefore, notAfter }: Lifetime) {
  const serial = randomBytes(SERIAL_BYTES);
  // Positive, and of full length.
  serial[0] = (serial[0] & 0x7f) | 0x40;
  return { publicKey, serialNumber: serial.toString('hex'), notBefore: whole(notBefore), notAfter: whole(notAfter) };
}

/** Certificates have whole seconds. */
const whole = (date: Date): Date => new Date(Math.floor(date.getTime() / 1000) * 1000);

async function authorityExtensions(keys: KeyPair, by: Authority | null): Promise<x509.Extension[]> {
  const own = await x509.SubjectKeyIdentifierExtension.create(keys.publicKey as LibraryKey);
  return [
    new x509.BasicConstraintsExtension(true, by === null ? undefined : 0, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    own,
    new x509.AuthorityKeyIdentifierExtension(by?.keyIdentifier ?? own.keyId),
  ];
}

/** The key identifier with which leaves refer to their issuer: the issuer's own, because others compute it differently. */
async function identifierOf(certificate: x509.X509Certificate): Promise<string> {
  const own = certificate.getExtension(x509.SubjectKeyIdentifierExtension);
  return (own ?? (await x509.SubjectKeyIdentifierExtension.create(certificate.publicKey))).keyId;
}
