// What a raw HTTP/2 peer has heard: frames that nobody has taken yet, and how the connection ended.
import type { Code, FrameType } from './h2-frames.js';
import type { DecodedField } from './naive-hpack.js';
import { Waiting } from './waiting.js';

/** A frame as received. A header block is one frame, however many it came in. */
export interface Frame {
  /** The name in the RFC, or a number. */
  readonly type: FrameType | `0x${string}`;
  readonly flags: number;
  readonly stream: number;
  /** DATA: the data without padding. HEADERS: the whole block. Else as it came. */
  readonly payload: Buffer;
  readonly endStream: boolean;
  readonly ack: boolean;
  /** Of HEADERS. */
  readonly fields: readonly DecodedField[];
  /** Of RST_STREAM and GOAWAY. */
  readonly code: string;
  /** Of GOAWAY. */
  readonly lastStream: number;
  /** Of WINDOW_UPDATE. */
  readonly increment: number;
  /** Octets of flow control, of DATA. */
  readonly weight: number;
}

export interface Want {
  readonly stream?: number;
  /** One of these. */
  readonly code?: Code | readonly Code[];
  readonly ack?: boolean;
  readonly endStream?: boolean;
  readonly lastStream?: number;
}

export interface Response {
  /** 0 where the stream was reset before. */
  readonly status: number;
  readonly fields: readonly DecodedField[];
  readonly body: Buffer;
  readonly trailers: readonly DecodedField[];
  /** The statuses before the final one. */
  readonly interim: readonly number[];
  /** The code of RST_STREAM, if that is how it ended. */
  readonly reset: string | null;
  field(name: string): string | null;
}

export const fieldOf = (fields: readonly DecodedField[], name: string): string | null =>
  fields.find((field) => field.name === name)?.value ?? null;

export class Inbox {
  /** Received and not taken yet. */
  frames: Frame[] = [];
  /** How the connection ended; null while it is open. */
  end: 'fin' | 'reset' | null = null;
  private readonly waiting = new Waiting();

  /** `check` throws if anything that came was against the RFC. */
  constructor(
    private readonly role: 'client' | 'server',
    private readonly check: () => void,
  ) {}

  wake(): void {
    this.waiting.wake();
  }

  finish(end: 'fin' | 'reset'): void {
    this.end ??= end;
    this.wake();
  }

  /** Takes the first frame that matches; fails where one came that makes it `hopeless`. */
  async take(matches: (frame: Frame) => boolean, hopeless: (frame: Frame) => boolean, what: string): Promise<Frame> {
    let found: Frame | undefined;
    await this.until(() => {
      this.check();
      const at = this.frames.findIndex(matches);
      if (at >= 0) {
        // At once: somebody else may be looking too.
        [found] = this.frames.splice(at, 1);
        return true;
      }
      if (this.end !== null) throw new Error(`the connection ended (${this.end}) before ${what}; ${this.summary()}`);
      if (this.frames.some(hopeless)) throw new Error(`instead of ${what}: ${this.summary()}`);
      return false;
    }, what);
    if (found === undefined) throw new Error(`no ${what}`);
    return found;
  }

  /** Takes the next frame of this type and stream, and checks the rest of `want`. Fails at once where it cannot come any more. */
  async expect(type: FrameType, want: Want = {}): Promise<Frame> {
    const codes = want.code === undefined ? null : typeof want.code === 'string' ? [want.code] : want.code;
    const what = `${type} ${JSON.stringify(want)}`;
    const found = await this.take(
      (frame) =>
        frame.type === type &&
        (want.stream === undefined || frame.stream === want.stream) &&
        (want.ack === undefined || frame.ack === want.ack) &&
        // A farewell may come in two steps (section 6.8).
        !(type === 'GOAWAY' && codes !== null && frame.code === 'NO_ERROR' && !codes.includes('NO_ERROR')),
      (frame) =>
        type !== 'GOAWAY' &&
        ((frame.type === 'GOAWAY' && frame.code !== 'NO_ERROR') ||
          (frame.type === 'RST_STREAM' && type !== 'RST_STREAM' && frame.stream === want.stream)),
      what,
    );
    if (codes !== null && !(codes as readonly string[]).includes(found.code)) {
      throw new Error(`${type} on stream ${found.stream} says ${found.code} instead of ${codes.join(' or ')}`);
    }
    if (want.endStream !== undefined && want.endStream !== found.endStream) {
      throw new Error(`${type} on stream ${found.stream} ${found.endStream ? 'has' : 'lacks'} END_STREAM`);
    }
    if (want.lastStream !== undefined && want.lastStream !== found.lastStream) {
      throw new Error(`${type} has the last stream ${found.lastStream} instead of ${want.lastStream}`);
    }
    this.check();
    return found;
  }

  /** Everything that comes on a stream, until it ends. */
  async response(stream: number): Promise<Response> {
    const interim: number[] = [];
    const chunks: Buffer[] = [];
    let fields: readonly DecodedField[] | null = null;
    let trailers: readonly DecodedField[] = [];
    let reset: string | null = null;
    for (let ended = false; !ended; ) {
      const frame = await this.take(
        (one) => one.stream === stream && ['HEADERS', 'DATA', 'RST_STREAM'].includes(one.type),
        (one) => one.type === 'GOAWAY' && one.code !== 'NO_ERROR',
        `the response on stream ${stream}`,
      );
      ended = frame.endStream;
      if (frame.type === 'RST_STREAM') {
        reset = frame.code;
        ended = true;
      } else if (frame.type === 'DATA') chunks.push(frame.payload);
      else if (fields !== null) trailers = frame.fields;
      else {
        const status = Number(fieldOf(frame.fields, ':status'));
        if (status >= 200) fields = frame.fields;
        else interim.push(status);
      }
    }
    this.check();
    const all = fields ?? [];
    return {
      status: Number(fieldOf(all, ':status')),
      fields: all,
      body: Buffer.concat(chunks),
      trailers,
      interim,
      reset,
      field: (name) => fieldOf(all, name),
    };
  }

  /** Resolves when `condition` holds; fails where the connection ends before. */
  when(condition: () => boolean, what: string): Promise<void> {
    return this.until(() => {
      if (condition()) return true;
      if (this.end !== null) throw new Error(`the connection ended before ${what}; ${this.summary()}`);
      return false;
    }, what);
  }

  /** Resolves when the other side has ended the connection. */
  ended(): Promise<void> {
    return this.until(() => this.end !== null, 'the end of the connection');
  }

  private until(condition: () => boolean, what: string): Promise<void> {
    return this.waiting.until(condition, () => `${what} (${this.summary()})`);
  }

  private summary(): string {
    const said = this.frames
      .slice(-12)
      .map(({ type, stream, code, flags, fields }) =>
        [type, stream, code, flags.toString(16), fieldOf(fields, ':status') ?? fieldOf(fields, ':path') ?? '']
          .filter((part) => part !== '')
          .join(' '),
      );
    return `as ${this.role} it has heard [${said.join(', ')}]${this.end === null ? '' : ` and ${this.end}`}`;
  }
}
