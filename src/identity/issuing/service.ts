// The identity service on its port: gRPC with limited and idle-checked connections, in plain text (behind a proxy) or in TLS with a
// certificate that it has signed for itself.
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { Address } from '../../config/model.js';
import { Http2Listener, type ListeningLimits } from '../../listening/http2-listener.js';
import { protoFile } from '../grpc.js';
import type { Certifier } from './certifier.js';
import type { ServingCertificate } from './own-certificate.js';
import { REFUSAL_STATUS, Refusal } from './refusal.js';

export interface ServiceLimits extends ListeningLimits {
  /** Calls on one connection. */
  readonly maxCalls: number;
  /** Octets of a request. */
  readonly maxMessageBytes: number;
  /** Of a connection without a call. */
  readonly idleMs: number;
  /** After this time a connection is replaced, so that callers spread over replicas. */
  readonly maxAgeMs: number;
  /** Time from SIGTERM to the end of everything open. */
  readonly graceMs: number;
}

export const SERVICE_LIMITS: ServiceLimits = {
  maxConnections: 1024,
  maxCalls: 100,
  // The largest valid request is smaller.
  maxMessageBytes: 32_768,
  idleMs: 60_000,
  handshakeMs: 10_000,
  maxAgeMs: 600_000,
  graceMs: 10_000,
};

interface CertifyRequest {
  readonly identity: string;
  readonly token: Buffer;
  readonly certificate_signing_request: Buffer;
}

interface CertifyResponse {
  readonly leaf_certificate: Uint8Array;
  readonly intermediate_certificates: readonly Uint8Array[];
  readonly valid_until: { readonly seconds: number; readonly nanos: number };
}

const PROTO = protoFile('identity.proto');
const SERVICE = 'io.linkerd.proxy.identity.Identity';

export class IdentityService {
  readonly #grpc: Server;
  readonly #listening: Http2Listener;
  readonly #limits: ServiceLimits;

  /** `serving`: null for plain text. `refused` is called for each connection over the limit. */
  constructor(certifier: Certifier, serving: ServingCertificate | null, limits: ServiceLimits, refused: () => void) {
    this.#limits = limits;
    this.#grpc = new Server({
      'grpc.max_receive_message_length': limits.maxMessageBytes,
      'grpc.max_concurrent_streams': limits.maxCalls,
      'grpc.max_connection_idle_ms': limits.idleMs,
      'grpc.max_connection_age_ms': limits.maxAgeMs,
      'grpc.max_connection_age_grace_ms': limits.graceMs,
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
      'grpc.enable_channelz': 0,
    });
    const definition = loadSync(PROTO, { keepCase: true, longs: Number, defaults: true });
    this.#grpc.addService(definition[SERVICE] as ServiceDefinition, {
      Certify: (call: Call, answer: Answer) => void certify(certifier, call, answer),
    });
    const injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    this.#listening = new Http2Listener(serving, limits, {
      connected: (socket) => injector.injectConnection(socket),
      refused: (reason) => {
        if (reason === 'limit') refused();
      },
    });
  }

  /** Open connections. */
  get connections(): number {
    return this.#listening.connections;
  }

  get port(): number {
    return this.#listening.port;
  }

  listen(address: Address): Promise<void> {
    return this.#listening.listen(address);
  }

  /** Sets the certificate for new connections. */
  serve(serving: ServingCertificate): void {
    this.#listening.use(serving);
  }

  /** Waits for what is open, within the grace; true if nothing had to be cut off. */
  async close(): Promise<boolean> {
    this.#listening.close();
    let clean = true;
    await new Promise<void>((resolve) => {
      const cut = setTimeout(() => {
        clean = false;
        resolve();
      }, this.#limits.graceMs);
      this.#grpc.tryShutdown(() => {
        clearTimeout(cut);
        resolve();
      });
    });
    this.#grpc.forceShutdown();
    this.#listening.destroyAll();
    return clean;
  }
}

type Call = ServerUnaryCall<CertifyRequest, CertifyResponse>;
type Answer = sendUnaryData<CertifyResponse>;

async function certify(certifier: Certifier, call: Call, answer: Answer): Promise<void> {
  const { identity, token, certificate_signing_request: signingRequest } = call.request;
  try {
    const { leaf, intermediates, notAfter } = await certifier.certify({
      identity,
      token,
      signingRequest,
      peer: addressOf(call.getPeer()),
      cancelled: () => call.cancelled,
    });
    answer(null, {
      leaf_certificate: leaf.raw,
      intermediate_certificates: intermediates.map(({ raw }) => raw),
      valid_until: { seconds: Math.floor(notAfter.getTime() / 1000), nanos: 0 },
    });
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal('internal', 'internal error');
    answer({ code: status[REFUSAL_STATUS[refusal.reason]], details: refusal.message });
  }
}

/** The address without its port. */
const addressOf = (peer: string): string => peer.slice(0, peer.lastIndexOf(':')) || peer;
