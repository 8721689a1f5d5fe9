// `sluice identity serve` as a process, and callers of it: the official gRPC library, with messages put together by hand.
import type { ChildProcess } from 'node:child_process';
import { createSecureContext } from 'node:tls';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { LoggedProcess, type LogLine, pageOf } from './logged-process.js';

export interface IdentityProcess {
  readonly port: number;
  readonly adminPort: number;
  readonly log: readonly LogLine[];
  readonly child: ChildProcess;
  page(path: string): Promise<{ status: number; body: string }>;
  /** A sample of its metrics, as it is written there; NaN where there is none. */
  metric(name: string): Promise<number>;
  logged(message: string): LogLine[];
  /** Ends it; returns the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts it on free ports, or where `--listen` says; rejects with what it says where it doesn't start. */
export async function startIdentityService(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<IdentityProcess> {
  const listen = args.includes('--listen') ? [] : ['--listen', '127.0.0.1:0'];
  const ports = [...listen, '--admin', '127.0.0.1:0'];
  const started = 'identity service started';
  const begun = await LoggedProcess.start(['identity', 'serve', ...ports, ...args], started, env);
  const adminPort = begun.portOf(started, 'adminPort');
  const page = (path: string) => pageOf(adminPort, path);
  return {
    port: begun.portOf(started),
    adminPort,
    log: begun.log,
    child: begun.child,
    page,
    logged: (message) => begun.logged(message),
    async metric(name) {
      const { body } = await page('/metrics');
      const line = body.split('\n').find((candidate) => candidate.startsWith(`${name} `));
      return line === undefined ? Number.NaN : Number(line.slice(name.length + 1));
    },
    stop: (signal) => begun.stop(signal),
  };
}

/** A field of protobuf that has a length. */
function field(number: number, value: Uint8Array): Buffer {
  const length: number[] = [];
  for (let left = value.length; ; left = Math.floor(left / 128)) {
    length.push((left % 128) + (left >= 128 ? 128 : 0));
    if (left < 128) break;
  }
  return Buffer.concat([Uint8Array.of((number << 3) | 2, ...length), value]);
}

function varint(bytes: Buffer, at: number): [value: number, end: number] {
  let value = 0;
  for (let shift = 1; ; shift *= 128) {
    const octet = bytes[at++];
    value += (octet & 0x7f) * shift;
    if (octet < 128) return [value, at];
  }
}

/** Fields of a message by number; of those without a length the number itself. */
function fieldsOf(bytes: Buffer): [number, Buffer | number][] {
  const found: [number, Buffer | number][] = [];
  for (let at = 0; at < bytes.length; ) {
    const [tag, afterTag] = varint(bytes, at);
    const [value, end] = varint(bytes, afterTag);
    const sized = (tag & 7) === 2;
    found.push([tag >> 3, sized ? bytes.subarray(end, end + value) : value]);
    at = sized ? end + value : end;
  }
  return found;
}

export interface Certificate {
  readonly leaf: Buffer;
  readonly intermediates: readonly Buffer[];
  /** Seconds since 1970. */
  readonly validUntil: number;
}

export interface CertifyRequest {
  readonly identity?: string;
  readonly token?: string | Buffer;
  readonly request?: Uint8Array;
}

/** What a call ended with instead: the name of the gRPC status, and its text. */
export class CertifyError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(`${code}: ${message}`);
  }
}

const same = (bytes: Buffer): Buffer => bytes;

export class Certifying {
  readonly #client: Client;

  /** With `tls`, by it alone: anchors, and the name that the service must have. */
  constructor(port: number, tls?: { readonly anchors: string; readonly name: string }) {
    const secure = tls && credentials.createFromSecureContext(createSecureContext({ ca: tls.anchors }));
    // Otherwise the library gives callers with other anchors the same connection.
    const own = { 'grpc.use_local_subchannel_pool': 1 };
    const options = tls === undefined ? own : { ...own, 'grpc.ssl_target_name_override': tls.name };
    this.#client = new Client(`127.0.0.1:${port}`, secure ?? credentials.createInsecure(), options);
  }

  close(): void {
    this.#client.close();
  }

  /** Rejects with a CertifyError. */
  certify({ identity = '', token = '', request = new Uint8Array(0) }: CertifyRequest): Promise<Certificate> {
    const message = Buffer.concat([field(1, Buffer.from(identity)), field(2, Buffer.from(token)), field(3, request)]);
    return this.send(message);
  }

  /** Any octets as the message. */
  send(message: Buffer, timeoutMs = 10_000): Promise<Certificate> {
    const path = '/io.linkerd.proxy.identity.Identity/Certify';
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + timeoutMs };
      this.#client.makeUnaryRequest(path, same, same, message, options, (error: ServiceError | null, value) => {
        if (error !== null) reject(new CertifyError(status[error.code], error.details));
        else resolve(certificateOf(value ?? Buffer.alloc(0)));
      });
    });
  }
}

function certificateOf(bytes: Buffer): Certificate {
  const fields = fieldsOf(bytes);
  const all = (wanted: number): Buffer[] =>
    fields.flatMap(([number, value]) => (number === wanted ? [value as Buffer] : []));
  const [until] = all(3);
  const seconds = fieldsOf(until ?? Buffer.alloc(0)).find(([number]) => number === 1)?.[1];
  return { leaf: all(1)[0], intermediates: all(2), validUntil: Number(seconds) };
}
