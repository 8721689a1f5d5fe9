// One exchange as the two ends of Sluice see it, whichever version of HTTP they speak: a call of a client, an arrival at an
// endpoint. Both versions have the same verbs, so that one test body runs over all combinations.
import type { Socket } from 'node:net';
import { sha1 } from '../support/content.js';

export type Version = 1 | 2;

/** What a client asks for. */
export interface Wish {
  readonly method?: string;
  readonly path?: string;
  readonly fields?: Readonly<Record<string, string>>;
  /** Octets of the body that follows, or chunks where that is not known; none by default. */
  readonly body?: number | 'chunked';
  /** A tunnel instead of a request. */
  readonly tunnel?: Tunnel;
}

export type Tunnel = 'CONNECT' | 'WebSocket';

export interface Answer {
  /** 0 where none came. */
  readonly status: number;
  readonly interim: readonly number[];
  readonly body: string;
  readonly trailers: ReadonlyMap<string, string>;
  /** False where the response was cut off, so that nobody can take it for complete. */
  readonly whole: boolean;
  /** That of RST_STREAM, if that is how it ended. */
  readonly code: string | null;
  field(name: string): string | null;
  /** The values of all lines of a field. */
  values(name: string): readonly string[];
}

export interface Digest {
  readonly length: number;
  readonly sha1: string;
}

export const digest = (octets: Uint8Array): Digest => ({ length: octets.length, sha1: sha1(octets) });

/** How one direction ended: in order, or by a reset. */
export type End = 'end' | 'reset';

/** A connection to an endpoint: another one is another object. */
export interface Connection {
  readonly socket: Socket;
}

/** What both ends can do with their body, or with their direction of a tunnel. */
export interface Leg {
  write(octets: string | Uint8Array): void;
  /** Writes much, as fast as the other side takes it; resolves when all is written. */
  pour(octets: Buffer): Promise<void>;
  /** Takes nothing more, for now. Of HTTP/2 that needs a peer that gives no credit. */
  hold(): void;
  /** Takes everything up to the end of a body. */
  drain(): Promise<Digest>;
  /** Ends what is written. */
  finish(trailers?: Readonly<Record<string, string>>): void;
  /** Takes `length` octets of a tunnel. */
  read(length: number): Promise<string>;
  /** Resolves when the other side has ended its direction. */
  ended(): Promise<End>;
  /** How it has ended so far. */
  readonly over: End | null;
  /** It has been reset, be it behind its end. */
  readonly broken: boolean;
  /** Breaks the exchange off: RST_STREAM, or the RST of its connection. */
  abort(): void;
}

export interface Call extends Leg {
  answer(): Promise<Answer>;
  /** Resolves when a tunnel is agreed to. */
  agreed(): Promise<{ field(name: string): string | null }>;
  /** Resolves when the next interim response has come. */
  interim(): Promise<number>;
  /** Resolves when `text` has come in the body. */
  seen(text: string): Promise<void>;
}

/** A connection of a client. */
export interface Line {
  ask(wish: Wish): Call;
  /** Resolves when the kernel has taken what was asked. */
  flushed(): Promise<void>;
  close(): void;
}

export interface Arrived extends Leg {
  readonly method: string;
  readonly path: string;
  readonly connection: Connection;
  field(name: string): string | null;
  /** The values of all lines of a field. */
  values(name: string): readonly string[];
  /** The rest of the request; rejects where it is cut off. */
  whole(): Promise<{ readonly body: string; readonly trailers: ReadonlyMap<string, string> }>;
  interim(status: number, fields?: Readonly<Record<string, string>>): void;
  /** The head of a response: with a content-length, or a body whose length is not known. */
  begin(status: number, fields?: Readonly<Record<string, string>>): void;
  /** A whole response. */
  respond(status: number, fields?: Readonly<Record<string, string>>, body?: string): void;
  /** Agrees to a tunnel. */
  agree(fields?: Readonly<Record<string, string>>): void;
  /** What no client may be told as it is. */
  garbage(): void;
  /** Resolves when the request has been taken back, or its connection has ended. */
  gone(): Promise<void>;
}

export interface Origin {
  readonly address: string;
  /** Requests that have arrived, ever. */
  readonly requests: number;
  /** The next request for `path`; null is a CONNECT. */
  next(path: string | null): Promise<Arrived>;
  /** Ends every connection. */
  quiet(): Promise<void>;
  close(): Promise<void>;
}

export const AUTHORITY = 'combinations.test:80';
export const bytesOf = (octets: string | Uint8Array): Buffer =>
  typeof octets === 'string' ? Buffer.from(octets, 'latin1') : Buffer.from(octets);
export const valuesOf = (fields: readonly (readonly [string, string])[], wanted: string): string[] =>
  fields.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);

/** Ends a connection, and resolves when the kernel has it closed. */
export function lose({ socket }: Connection, how: 'fin' | 'reset'): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
    if (how === 'fin') socket.destroy();
    else socket.resetAndDestroy();
  });
}
