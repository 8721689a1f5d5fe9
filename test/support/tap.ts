// Somebody who taps a proxy, in tests.
import { type ClientRequest, request } from 'node:http';
import { Waiting } from './waiting.js';

export interface TapLine {
  readonly message: string;
  readonly [field: string]: unknown;
}

export class TapClient {
  /** Everything that was shown. */
  readonly lines: TapLine[] = [];
  status = 0;
  private readonly waiting = new Waiting();
  private text = '';
  private readonly asked: ClientRequest;

  private constructor(port: number, query: string, headers: Record<string, string>) {
    this.asked = request({ host: '127.0.0.1', port, path: `/tap?${query}`, agent: false, headers });
    this.asked.on('error', () => undefined);
    this.asked.once('response', (response) => {
      this.status = response.statusCode ?? 0;
      response.setEncoding('utf8').on('data', (chunk: string) => {
        this.text += chunk;
        const lines = this.text.split('\n');
        if (this.status !== 200) return;
        this.text = lines.pop() ?? '';
        this.lines.push(...lines.map((line) => JSON.parse(line) as TapLine));
        this.waiting.wake();
      });
      response.once('end', () => this.waiting.wake());
      this.waiting.wake();
    });
    this.asked.end();
  }

  /** Resolves when the proxy shows something, or has refused. */
  static async open(port: number, query = '', headers: Record<string, string> = {}): Promise<TapClient> {
    const tap = new TapClient(port, query, headers);
    await tap.waiting.until(
      () => (tap.status === 200 ? tap.lines.length > 0 : tap.status !== 0),
      () => '/tap',
    );
    return tap;
  }

  /** What it was refused with. */
  get refusal(): string {
    return this.text;
  }

  get records(): TapLine[] {
    return this.lines.filter(({ message }) => message !== 'tap');
  }

  /** Resolves with the first record, past or to come, that `matches`. */
  async shown(what: string, matches: (line: TapLine) => boolean): Promise<TapLine> {
    await this.waiting.until(
      () => this.records.some(matches),
      () => `${what} (shown: ${JSON.stringify(this.records)})`,
    );
    const found = this.records.find(matches);
    if (found === undefined) throw new Error(what);
    return found;
  }

  until(what: string, condition: (tap: TapClient) => boolean): Promise<void> {
    return this.waiting.until(
      () => condition(this),
      () => what,
    );
  }

  close(): void {
    this.asked.destroy();
  }
}
