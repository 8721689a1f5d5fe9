// JSON texts: one object, or several concatenated, as kubectl reads and writes them.

/** The end of each top-level object in `text`; errors inside them are found by the parser. */
function* endsOf(text: string): Generator<number> {
  let depth = 0;
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (isQuoted) {
      if (character === '\\') at++;
      else if (character === '"') isQuoted = false;
    } else if (character === '"') isQuoted = true;
    else if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') {
      depth--;
      if (depth === 0) yield at + 1;
    }
  }
}

export interface JsonText {
  /** With the white space before it; for the last one, also after it. */
  readonly text: string;
  /** 1-based. */
  readonly line: number;
  readonly value: unknown;
}

const parsed = (text: string): { value: unknown } | null => {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return null;
  }
};

/** Null if it is anything else: errors are then reported as for YAML. */
export function jsonTexts(text: string): readonly JsonText[] | null {
  if (!/^\s*\{/.test(text)) return null;
  const whole = parsed(text);
  if (whole !== null) return [{ text, line: 1, value: whole.value }];
  const texts: JsonText[] = [];
  let start = 0;
  let line = 1;
  const ends = [...endsOf(text)];
  for (const [index, end] of ends.entries()) {
    const part = text.slice(start, index === ends.length - 1 ? text.length : end);
    const read = parsed(part);
    if (read === null) return null;
    const before = /^\s*/.exec(part)?.[0] ?? '';
    texts.push({ text: part, line: line + lines(before), value: read.value });
    line += lines(part);
    start = end;
  }
  return texts.length === 0 ? null : texts;
}

const lines = (text: string): number => text.split('\n').length - 1;
