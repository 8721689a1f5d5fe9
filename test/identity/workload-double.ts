// A SPIFFE Workload API that does what a test wants, by the official gRPC library.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { Server, ServerCredentials, type ServerWritableStream, type ServiceDefinition, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { Certified, Pki } from '../support/pki.js';

export interface Svid {
  readonly spiffe_id: string;
  readonly x509_svid: Uint8Array;
  readonly x509_svid_key: Uint8Array;
  readonly bundle: Uint8Array;
}

type Call = ServerWritableStream<object, { readonly svids: readonly Svid[] }>;

const derOf = (pem: string): Buffer =>
  Buffer.concat(
    (pem.match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g) ?? []).map((text) => new X509Certificate(text).raw),
  );

/** As an agent has it; `anchors` is PEM. */
export function svid(spiffe_id: string, { chain, key }: Certified, anchors: string): Svid {
  const der = createPrivateKey(key).export({ type: 'pkcs8', format: 'der' });
  return { spiffe_id, x509_svid: derOf(chain), x509_svid_key: der, bundle: derOf(anchors) };
}

export class WorkloadDouble {
  /** Calls that are open. */
  readonly calls = new Set<Call>();
  /** How many there have been. */
  count = 0;
  private readonly server = new Server();

  private constructor(
    readonly socket: string,
    /** What a call is told first; null: nothing. */
    private readonly first: () => readonly Svid[] | Error | null,
  ) {}

  static async start(socket: string, first: () => readonly Svid[] | Error | null): Promise<WorkloadDouble> {
    const double = new WorkloadDouble(socket, first);
    const definition = loadSync(new URL('../../../proto/workload.proto', import.meta.url).pathname, { keepCase: true });
    double.server.addService(definition.SpiffeWorkloadAPI as unknown as ServiceDefinition, {
      FetchX509SVID: (call: Call) => double.called(call),
    });
    await new Promise<void>((resolve, reject) => {
      double.server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    return double;
  }

  private called(call: Call): void {
    this.count++;
    // What an agent asks for against requests that a web page was tricked into.
    if (call.metadata.get('workload.spiffe.io')[0] !== 'true') {
      call.emit('error', refusal(status.INVALID_ARGUMENT, 'security header missing'));
      return;
    }
    this.calls.add(call);
    call.on('cancelled', () => this.calls.delete(call));
    const first = this.first();
    if (first instanceof Error) call.emit('error', first);
    else if (first !== null) call.write({ svids: first });
  }

  /** Tells all calls. */
  tell(svids: readonly Svid[]): void {
    for (const call of this.calls) call.write({ svids });
  }

  /** Ends all calls. */
  end(): void {
    for (const call of this.calls) call.end();
    this.calls.clear();
  }

  close(): void {
    this.server.forceShutdown();
  }
}

export const refusal = (code: status, message: string): Error =>
  Object.assign(new Error(message), { code, details: message });

export async function workloadSvid(pki: Pki, id: string, options: Parameters<Pki['leaf']>[0] = {}): Promise<Svid> {
  return svid(id, await pki.leaf({ uris: [id], ...options }), pki.anchor);
}
