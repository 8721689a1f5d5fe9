// Writes just enough SVG for a few pictures. Colours follow the reader's light or dark theme.

/** Classes that pictures use. `s0` to `s7` are series. Each has a colour and, for readers who do not see colours, its own dashes. */
export const STYLE = `
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 } .muted { fill: #59636e } .strong { font-weight: 600 } .small { font-size: 11px } .inside { fill: #ffffff }
  .axis { stroke: #d1d9e0 } .bar { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3 } .barText { fill: #cf222e } .range { stroke: #1f2328; stroke-width: 1.2 }
  .c0 { fill: #0969da } .c1 { fill: #d4a72c } .c2 { fill: #cf5b5b } .pass { fill: #1a7f37 } .fail { fill: #cf222e } .track { fill: #eff2f5 } .heat { fill: #0969da }
  .series { fill: none; stroke-width: 1.8; stroke-linejoin: round }
  .s0 { stroke: #0969da } .s1 { stroke: #bc4c00; stroke-dasharray: 7 3 } .s2 { stroke: #1a7f37; stroke-dasharray: 2 2.5 } .s3 { stroke: #8250df; stroke-dasharray: 9 3 2 3 }
  .s4 { stroke: #bf3989; stroke-dasharray: 4 3 } .s5 { stroke: #9a6700; stroke-dasharray: 12 4 } .s6 { stroke: #1b7c83; stroke-dasharray: 1.5 4 } .s7 { stroke: #59636e; stroke-dasharray: 6 2 1.5 2 1.5 2 }
  @media screen and (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .muted { fill: #9198a1 } .axis { stroke: #3d444d } .bar { stroke: #f85149 } .barText { fill: #f85149 } .range { stroke: #e6edf3 }
    .c0 { fill: #4493f8 } .c1 { fill: #d29922 } .c2 { fill: #db6d70 } .pass { fill: #3fb950 } .fail { fill: #f85149 } .track { fill: #212830 } .heat { fill: #58a6ff }
    .s0 { stroke: #4493f8 } .s1 { stroke: #f0883e } .s2 { stroke: #3fb950 } .s3 { stroke: #ab7df8 } .s4 { stroke: #db61a2 } .s5 { stroke: #d29922 } .s6 { stroke: #39c5cf } .s7 { stroke: #9198a1 }
  }`;

/** Number of different styles for series. */
export const SERIES = 8;

type Attributes = Readonly<Record<string, string | number>>;

export class Svg {
  readonly #width: number;
  readonly #height: number;
  readonly #parts: string[] = [];

  constructor(width: number, height: number) {
    this.#width = width;
    this.#height = height;
  }

  text(x: number, y: number, content: string, attributes: Attributes = {}): void {
    this.#parts.push(`<text ${format({ x, y, ...attributes })}>${escapeText(content)}</text>`);
  }

  rectangle(x: number, y: number, width: number, height: number, attributes: Attributes = {}): void {
    this.#parts.push(
      `<rect ${format({ x, y, width: Math.max(0, width), height: Math.max(0, height), ...attributes })}/>`,
    );
  }

  line(x1: number, y1: number, x2: number, y2: number, attributes: Attributes = {}): void {
    this.#parts.push(`<line ${format({ x1, y1, x2, y2, ...attributes })}/>`);
  }

  /** An open line through the points. */
  curve(points: readonly (readonly [number, number])[], attributes: Attributes = {}): void {
    const path = points.map(([x, y]) => `${round(x)},${round(y)}`).join(' ');
    this.#parts.push(`<polyline ${format({ points: path, ...attributes })}/>`);
  }

  /** A closed area through the points. */
  area(points: readonly (readonly [number, number])[], attributes: Attributes = {}): void {
    const path = points.map(([x, y]) => `${round(x)},${round(y)}`).join(' ');
    this.#parts.push(`<polygon ${format({ points: path, ...attributes })}/>`);
  }

  /** Places another picture in this one, with its upper left corner at this position. */
  place(other: Svg, x: number, y: number): void {
    const box = format({ x, y, width: other.#width, height: other.#height });
    this.#parts.push(`<svg ${box}>${other.#parts.join('\n')}</svg>`);
  }

  get height(): number {
    return this.#height;
  }

  /** The picture as a standalone file. */
  toString(): string {
    const size = `width="${this.#width}" height="${this.#height}" viewBox="0 0 ${this.#width} ${this.#height}"`;
    return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img">\n<style>${STYLE}\n</style>\n${this.#parts.join('\n')}\n</svg>\n`;
  }

  /** The picture as part of a page that has STYLE. `label`: a description for readers who do not see it. */
  inline(label: string): string {
    const box = `viewBox="0 0 ${this.#width} ${this.#height}"`;
    return `<svg ${box} role="img" aria-label="${escapeText(label)}">\n${this.#parts.join('\n')}\n</svg>`;
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function format(attributes: Attributes): string {
  return Object.entries(attributes)
    .map(([name, value]) => `${name}="${typeof value === 'number' ? round(value) : escapeText(value)}"`)
    .join(' ');
}

/** Also for HTML, in text and in attributes with double quotes. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
