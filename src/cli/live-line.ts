// One line on a terminal that is written over while something goes on. Where there is no terminal nothing is written.

/** What it writes to. */
export interface Screen {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export class LiveLine {
  private shown = false;

  constructor(private readonly screen: Screen = process.stderr) {}

  /** Shows parts, as many as fit, the first ones first. */
  show(parts: readonly string[]): void {
    if (this.screen.isTTY !== true) return;
    // The last column is left free: some terminals go on to the next line with it.
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

  /** Takes the line away. */
  clear(): void {
    if (this.shown) this.screen.write('\r\x1b[2K');
    this.shown = false;
  }
}
