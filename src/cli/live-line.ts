// A line on the terminal that is overwritten as work proceeds. Without a terminal, nothing is written.

/** The output stream. */
export interface Screen {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export class LiveLine {
  private shown = false;

  constructor(private readonly screen: Screen = process.stderr) {}

  /** Shows as many of the parts as fit, beginning with the first. */
  show(parts: readonly string[]): void {
    if (this.screen.isTTY !== true) return;
    // The last column stays free, because some terminals wrap when it is written.
    const room = (this.screen.columns ?? 80) - 1;
    let line = '';
    for (const part of parts) {
      const next = line === '' ? part : `${line}  ${part}`;
      if (next.length > room) break;
      line = next;
    }
    this.screen.write(`\r\x1b[2K${line}`);
    this.shown = true;
  }

  /** Erases the line. */
  clear(): void {
    if (this.shown) this.screen.write('\r\x1b[2K');
    this.shown = false;
  }
}
