// gRPC's framing of messages on a stream (a flag, four octets of length, the message), however the octets are cut.

const PREFIX = 5;

export class FramingError extends Error {
  constructor(
    readonly reason: 'garbage' | 'size',
    message: string,
  ) {
    super(message);
  }
}

export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, PREFIX);
  return framed;
}

export class MessageReader {
  #pieces: Buffer[] = [];
  #length = 0;
  /** Octets of the message that is being read; -1 while its prefix is not there. */
  #wanted = -1;

  constructor(
    private readonly maxBytes: number,
    private readonly message: (octets: Buffer) => void,
  ) {}

  /** Whether a message has begun that is not whole. */
  get pending(): boolean {
    return this.#wanted >= 0 || this.#length > 0;
  }

  /** Takes what has come. Throws a FramingError where it can be no message, or one that is too long. */
  push(octets: Buffer): void {
    this.#pieces.push(octets);
    this.#length += octets.length;
    for (;;) {
      if (this.#wanted < 0) {
        if (this.#length < PREFIX) return;
        const prefix = this.#take(PREFIX);
        if (prefix[0] !== 0) throw new FramingError('garbage', 'a message is compressed, which was not asked for');
        this.#wanted = prefix.readUInt32BE(1);
        if (this.#wanted > this.maxBytes)
          throw new FramingError('size', `a message has ${this.#wanted} octets, more than ${this.maxBytes}`);
      }
      if (this.#length < this.#wanted) return;
      const message = this.#take(this.#wanted);
      this.#wanted = -1;
      this.message(message);
    }
  }

  #take(length: number): Buffer {
    const all = this.#pieces.length === 1 ? this.#pieces[0] : Buffer.concat(this.#pieces);
    const rest = all.subarray(length);
    this.#pieces = rest.length === 0 ? [] : [rest];
    this.#length = rest.length;
    return all.subarray(0, length);
  }
}
