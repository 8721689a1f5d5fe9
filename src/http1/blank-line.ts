// Finds the end of a head or a trailer section that is spread over several pieces.

const LF = 0x0a;
const CR = 0x0d;

// State left by the previous bytes: none, a line has ended, or a line has ended and CR followed.
const INSIDE = 0;
const LINE = 1;
const LINE_CR = 2;

/** Searches consecutive pieces for a blank line, including one with bare LFs, which the parser refuses. */
export class BlankLine {
  private state = INSIDE;

  /** Starts over. What follows is not the beginning of a line. */
  reset(): void {
    this.state = INSIDE;
  }

  /** Searches [from, end), the continuation of the previous piece. Returns the position after the blank line, or -1. */
  find(bytes: Uint8Array, from: number, end: number): number {
    let { state } = this;
    for (let p = from; p < end; p++) {
      const octet = bytes[p];
      if (octet > CR) state = INSIDE;
      else if (octet === LF) {
        if (state !== INSIDE) {
          this.state = LINE;
          return p + 1;
        }
        state = LINE;
      } else state = octet === CR && state === LINE ? LINE_CR : INSIDE;
    }
    this.state = state;
    return -1;
  }
}
