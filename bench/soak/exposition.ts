// The Prometheus text format as a checker reads it.

export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\d+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** Every series of a scrape. Lines that are no series are passed over. */
export function parseExposition(text: string): Series[] {
  const all: Series[] = [];
  for (const line of text.split('\n')) {
    const match = line.startsWith('#') ? null : LINE.exec(line);
    if (!match) continue;
    const labels: Record<string, string> = {};
    for (const [, name, value] of (match[2] ?? '').matchAll(LABEL))
      labels[name] = value.replace(/\\(.)/g, unescapeLabel);
    all.push({ name: match[1], labels, value: Number(match[3].replace(/Inf$/, 'Infinity')) });
  }
  return all;
}

function unescapeLabel(_: string, character: string): string {
  return character === 'n' ? '\n' : character;
}

/** Sum over the series called `name` whose labels include `labels`; NaN if there is none. */
export function sum(all: readonly Series[], name: string, labels: Readonly<Record<string, string>> = {}): number {
  const wanted = Object.entries(labels);
  const found = all.filter(
    (series) => series.name === name && wanted.every(([key, value]) => series.labels[key] === value),
  );
  return found.length === 0 ? Number.NaN : found.reduce((total, series) => total + series.value, 0);
}
