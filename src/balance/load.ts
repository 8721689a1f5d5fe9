// What is open and in flight on every endpoint of one worker. In shared memory, so that the main thread sees when a removed endpoint is no
// longer used and its slot may be reused.

const COLUMNS = 3;

export class EndpointLoad {
  static allocate(maxEndpoints: number): SharedArrayBuffer {
    return new SharedArrayBuffer(COLUMNS * maxEndpoints * Int32Array.BYTES_PER_ELEMENT);
  }

  readonly inFlight: Int32Array;
  readonly connecting: Int32Array;
  readonly open: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    const bytes = memory.byteLength / COLUMNS;
    const length = bytes / Int32Array.BYTES_PER_ELEMENT;
    this.inFlight = new Int32Array(memory, 0, length);
    this.connecting = new Int32Array(memory, bytes, length);
    this.open = new Int32Array(memory, 2 * bytes, length);
  }

  /** Connections that are open or being dialled. */
  connections(endpoint: number): number {
    return this.open[endpoint] + this.connecting[endpoint];
  }

  clear(endpoint: number): void {
    this.inFlight[endpoint] = 0;
    this.connecting[endpoint] = 0;
    this.open[endpoint] = 0;
  }

  /** Whether nothing is counted on the endpoint. */
  isIdle(endpoint: number): boolean {
    return this.inFlight[endpoint] === 0 && this.connecting[endpoint] === 0 && this.open[endpoint] === 0;
  }
}
