// An identity service that does what a test wants, by the official gRPC library.
import 'reflect-metadata';
import { performServerHandshake } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import * as x509 from '@peculiar/x509';
import { Authority } from '../../src/identity/issuing/authority.js';
import { part } from '../../src/identity/source.js';
import { type Certified, DATES, type Dates, meshName, type Pki } from '../support/pki.js';

export interface CertifyRequest {
  readonly identity: string;
  readonly token: Buffer;
  readonly certificate_signing_request: Buffer;
}

export interface CertifyAnswer {
  readonly leaf_certificate: Uint8Array;
  readonly intermediate_certificates: readonly Uint8Array[];
  readonly valid_until: { readonly seconds: number; readonly nanos: number } | null;
}

export type Answering = (request: CertifyRequest) => Promise<CertifyAnswer>;

/** The name that the service's own certificate has. */
export const SERVICE = meshName('linkerd-identity', 'linkerd');

export interface Issue {
  /** Another name than the one that was asked for. */
  readonly name?: string;
  readonly dates?: Dates;
}

/** Does what was asked for. */
export async function issue(pki: Pki, request: CertifyRequest, { name, dates }: Issue = {}): Promise<CertifyAnswer> {
  const asked = new x509.Pkcs10CertificateRequest(request.certificate_signing_request);
  const issuer = await pki.issuer;
  const authority = await Authority.load(part('issuer.pem', issuer.certificate), part('issuer-key.pem', issuer.key));
  const { notBefore, notAfter } = dates ?? DATES.usual();
  const leaf = await authority.issue({
    publicKey: new Uint8Array(asked.publicKey.rawData),
    dns: [name ?? request.identity],
    uris: [],
    notBefore,
    notAfter,
  });
  return {
    leaf_certificate: leaf.certificate.raw,
    intermediate_certificates: authority.chain.map(({ raw }) => raw),
    valid_until: { seconds: Math.floor(notAfter.getTime() / 1000), nanos: 0 },
  };
}

export class Refusal extends Error {
  constructor(
    readonly code: status,
    message: string,
  ) {
    super(message);
  }
}

const methods = (): ServiceDefinition =>
  loadSync(new URL('../../../proto/identity.proto', import.meta.url).pathname, {
    keepCase: true,
    longs: Number,
    defaults: true,
  })['io.linkerd.proxy.identity.Identity'] as unknown as ServiceDefinition;

/**
 * A service behind a TLS server that knows no ALPN, as Linkerd's proxies in front of their identity service. One answer, to the first
 * request whose message is all there.
 */
export async function withoutAlpn(own: Certified, answering: Answering): Promise<{ address: string; close(): void }> {
  const { requestDeserialize, responseSerialize } = methods().Certify;
  const server = createServer({ cert: own.chain, key: own.key, minVersion: 'TLSv1.3' }, (socket) => {
    socket.on('error', () => undefined);
    const session = performServerHandshake(socket);
    session.on('error', () => undefined);
    session.on('stream', (stream) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', async () => {
        const answer = await answering(requestDeserialize(Buffer.concat(chunks).subarray(5)) as CertifyRequest);
        const message = responseSerialize(answer);
        const prefix = Buffer.alloc(5);
        prefix.writeUInt32BE(message.length, 1);
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end(Buffer.concat([prefix, message]));
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

export interface CertifyDouble {
  readonly address: string;
  readonly port: number;
  /** What has come, in order. */
  readonly requests: CertifyRequest[];
  answering: Answering;
  close(): void;
}

export async function certifyDouble(own: Certified, answering: Answering, at = 0): Promise<CertifyDouble> {
  const server = new Server();
  const requests: CertifyRequest[] = [];
  const double = { requests, answering };
  server.addService(methods(), {
    Certify: (call: ServerUnaryCall<CertifyRequest, CertifyAnswer>, done: sendUnaryData<CertifyAnswer>) => {
      requests.push(call.request);
      double.answering(call.request).then(
        (answer) => done(null, answer),
        (error) => done({ code: error instanceof Refusal ? error.code : status.INTERNAL, details: error.message }),
      );
    },
  });
  const pair = { cert_chain: Buffer.from(own.chain), private_key: Buffer.from(own.key) };
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${at}`, ServerCredentials.createSsl(null, [pair]), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return Object.assign(double, { port, address: `127.0.0.1:${port}`, close: () => server.forceShutdown() });
}
