// Fenced code blocks of a Markdown page.
import { readFileSync } from 'node:fs';

export interface Fence {
  /** Text after the opening fence, e.g. `sh test`. */
  readonly info: string;
  readonly text: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
}

/** A file of the repository. */
export const repository = (path: string): URL => new URL(`../../../${path}`, import.meta.url);

export const page = (path: string): string => readFileSync(repository(path), 'utf8');

export function fences(markdown: string): Fence[] {
  const found: Fence[] = [];
  let open: { info: string; line: number; lines: string[] } | undefined;
  for (const [index, line] of markdown.split('\n').entries()) {
    const info = /^```(.*)$/.exec(line)?.[1];
    if (open === undefined) {
      if (info !== undefined) open = { info, line: index + 1, lines: [] };
    } else if (info === '') {
      found.push({ info: open.info, line: open.line, text: open.lines.join('\n') });
      open = undefined;
    } else open.lines.push(line);
  }
  if (open !== undefined) throw new Error(`the fence of line ${open.line} is not closed`);
  return found;
}
