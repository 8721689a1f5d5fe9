// Parses a Prometheus text page, for commands that watch a running proxy from outside.

export interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** The samples of a page, in order; comments and other lines are skipped. */
export function parseMetrics(page: string): ParsedSample[] {
  const samples: ParsedSample[] = [];
  for (const line of page.split('\n')) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, name, labels = '', text] = match;
    const value = numberOf(text);
    if (Number.isNaN(value) && text !== 'NaN') continue;
    const pairs = [...labels.matchAll(LABEL)].map(([, key, quoted]) => [key, unescaped(quoted)]);
    samples.push({ name, labels: Object.fromEntries(pairs), value });
  }
  return samples;
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
}

function numberOf(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY;
  if (text === '-Inf') return Number.NEGATIVE_INFINITY;
  return Number(text);
}
