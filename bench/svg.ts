// Just enough SVG for a few pictures. Colours follow the reader's light or dark theme.

const STYLE = `
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 } .muted { fill: #59636e } .strong { font-weight: 600 } .small { font-size: 11px } .inside { fill: #ffffff }
  .axis { stroke: #d1d9e0 } .bar { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3 } .barText { fill: #cf222e }
  .c0 { fill: #0969da } .c1 { fill: #d4a72c } .c2 { fill: #cf5b5b } .pass { fill: #1a7f37 } .fail { fill: #cf222e } .track { fill: #eff2f5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .muted { fill: #9198a1 } .axis { stroke: #3d444d } .bar { stroke: #f85149 } .barText { fill: #f85149 }
    .c0 { fill: #4493f8 } .c1 { fill: #d29922 } .c2 { fill: #db6d70 } .pass { fill: #3fb950 } .fail { fill: #f85149 } .track { fill: #212830 }
  }`;

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

  /** A closed area through the points. */
  area(points: readonly (readonly [number, number])[], attributes: Attributes = {}): void {
    const path = points.map(([x, y]) => `${round(x)},${round(y)}`).join(' ');
    this.#parts.push(`<polygon ${format({ points: path, ...attributes })}/>`);
  }

  toString(): string {
    const size = `width="${this.#width}" height="${this.#height}" viewBox="0 0 ${this.#width} ${this.#height}"`;
    return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img">\n<style>${STYLE}\n</style>\n${this.#parts.join('\n')}\n</svg>\n`;
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

function escapeText(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
