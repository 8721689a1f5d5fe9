// gRPC's message framing on a stream (a flag, four length bytes, the message), for data in any pieces.

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
  /** Length of the current message; -1 while its prefix is incomplete. */
  #wanted = -1;

  constructor(
    private readonly maxBytes: number,
    private readonly message: (octets: Buffer) => void,
  ) {}

  /** Whether there is an incomplete message. */
  get pending(): boolean {
    return this.#wanted >= 0 || this.#length > 0;
  }

  /** Processes data. Throws a FramingError for an invalid message, or one that is too long. */
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
