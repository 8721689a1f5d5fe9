// An identity from the SPIFFE Workload API: one call with an endless answer, which has a message for each new certificate.
import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import { Backoff } from './backoff.js';
import { pemOf, splitSequences } from './der-bundle.js';
import { CHANNEL, callFailure, type GrpcService, grpcService } from './grpc.js';
import type { IdentityMaterial } from './material.js';
import type { Part } from './problem.js';
import {
  IdentityProblem,
  type IdentitySource,
  type IdentityUpdate,
  part,
  problemOf,
  type SourceDeps,
} from './source.js';

/** Share of a certificate's lifetime. Agents replace it at half: after this long without a message, we ask again. */
const SILENT_SHARE = 0.8;

export interface WorkloadApiOptions {
  /** Path of the socket. */
  readonly socket: string;
  /** The SPIFFE ID to choose if there are several; null: the first. */
  readonly name: string | null;
  /** Timeout of the first message, ms. */
  readonly timeoutMs: number;
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
}

interface Svid {
  readonly spiffe_id: string;
  readonly x509_svid: Uint8Array;
  readonly x509_svid_key: Uint8Array;
  readonly bundle: Uint8Array;
}

export class WorkloadApi implements IdentitySource {
  readonly #backoff: Backoff;
  readonly #who: string;
  #call: ClientReadableStream<object> | null = null;
  #timer: unknown = null;
  #stopped = false;

  constructor(
    private readonly options: WorkloadApiOptions,
    private readonly deps: SourceDeps,
  ) {
    this.#backoff = new Backoff(options.minBackoffMs, options.maxBackoffMs, deps.random);
    this.#who = `the Workload API at ${options.socket}`;
  }

  start(): void {
    this.#open().catch((error) => {
      this.deps.failed(problemOf(error));
      this.#wait(this.#backoff.next(), () => this.start());
    });
  }

  stop(): void {
    this.#stopped = true;
    this.deps.clock.clear(this.#timer);
    this.#call?.cancel();
  }

  async #open(): Promise<void> {
    const service = await grpcService('workload.proto', 'SpiffeWorkloadAPI');
    if (this.#stopped) return;
    const { grpc } = service;
    const client = new grpc.Client(`unix:${this.options.socket}`, grpc.credentials.createInsecure(), CHANNEL);
    const metadata = new grpc.Metadata();
    metadata.set('workload.spiffe.io', 'true');
    const { path, requestSerialize, responseDeserialize } = service.method('FetchX509SVID');
    const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {}, metadata);
    this.#call = call;
    const over = (problem: IdentityProblem | null): void => {
      if (this.#call !== call) return;
      this.#call = null;
      // Its error is no longer reported.
      call.cancel();
      client.close();
      if (this.#stopped) return;
      if (problem !== null) this.deps.failed(problem);
      this.#wait(problem === null ? 0 : this.#backoff.next(), () => this.start());
    };
    call.on('data', (message: { readonly svids: readonly Svid[] }) => {
      if (this.#call === call) this.#received(message.svids, over);
    });
    call.on('error', (error: ServiceError) => over(this.#failure(service, error)));
    call.on('end', () => over(new IdentityProblem('error', `${this.#who} ended its answer`)));
    this.#wait(this.options.timeoutMs, () => over(this.#late()));
  }

  #late(): IdentityProblem {
    return new IdentityProblem(
      'timeout',
      `${this.#who} did not answer within ${this.options.timeoutMs} ms (identity.timeout)`,
    );
  }

  #failure({ grpc }: GrpcService, error: ServiceError): IdentityProblem {
    return callFailure(grpc, this.#who, error, this.options.timeoutMs);
  }

  #received(svids: readonly Svid[], again: (problem: IdentityProblem | null) => void): void {
    let material: IdentityMaterial | null = null;
    try {
      material = this.deps.update(this.#update(svids));
    } catch (error) {
      this.deps.failed(problemOf(error));
    }
    if (material === null) {
      // The next message may be better; if none comes, ask again.
      this.#wait(this.#backoff.next(), () => again(null));
      return;
    }
    this.#backoff.succeeded();
    const now = this.deps.clock.now();
    const { notBeforeMs, notAfterMs } = material;
    const silentMs = notBeforeMs + (notAfterMs - notBeforeMs) * SILENT_SHARE - now;
    this.#wait(Math.max(silentMs, (notAfterMs - now) / 4, this.options.maxBackoffMs), () => again(null));
  }

  #update(svids: readonly Svid[]): IdentityUpdate {
    const { name } = this.options;
    if (svids.length === 0) throw new IdentityProblem('denied', `${this.#who} has no identity for this process`);
    const svid = name === null ? svids[0] : svids.find(({ spiffe_id }) => spiffe_id === name);
    if (svid === undefined) {
      const others = svids.map(({ spiffe_id }) => spiffe_id).join(', ');
      throw new IdentityProblem(
        'name',
        `${this.#who} has no identity ${name} (identity.name) for this process, but ${others}`,
      );
    }
    return {
      certificate: this.#certificates(svid.x509_svid, 'chain'),
      key: part(`the key from ${this.#who}`, pemOf('PRIVATE KEY', svid.x509_svid_key)),
      anchors: this.#certificates(svid.bundle, 'bundle'),
    };
  }

  #certificates(bytes: Uint8Array, what: string): Part {
    const from = `the ${what} from ${this.#who}`;
    const parts = splitSequences(bytes);
    if (parts === null) throw new IdentityProblem('credential', `${from}: is not a sequence of certificates`);
    return part(from, parts.map((der) => pemOf('CERTIFICATE', der)).join(''));
  }

  #wait(delayMs: number, then: () => void): void {
    this.deps.clock.clear(this.#timer);
    this.#timer = this.deps.clock.set(then, delayMs);
  }
}
