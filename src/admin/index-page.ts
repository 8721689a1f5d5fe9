// The page at `/`: what the admin port offers, with links to try it.
import type { Answer } from './answer.js';
import { text } from './answer.js';

export interface RouteInfo {
  readonly path: string;
  /** Methods besides HEAD, which goes with GET. */
  readonly methods: readonly string[];
  readonly summary: string;
  /** A request line or curl arguments to copy. */
  readonly example: string;
}

const escapeHtml = (value: string): string =>
  value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

export function indexPage(routes: readonly RouteInfo[], title: string, html: boolean): Answer {
  if (!html) {
    const width = Math.max(...routes.map(({ path }) => path.length));
    const lines = routes.flatMap(({ path, methods, summary, example }) => [
      `${path.padEnd(width)}  ${methods.join(', ')}  ${summary}`,
      `${' '.repeat(width)}  ${example}`,
    ]);
    return text(200, [title, '', ...lines].join('\n'));
  }
  const rows = routes.map(({ path, methods, summary, example }) => {
    const shown = escapeHtml(path);
    const name = methods.includes('GET') && !path.includes('<') ? `<a href="${shown}">${shown}</a>` : shown;
    return `<tr><td>${name}<td>${methods.join(', ')}<td>${escapeHtml(summary)}<br><code>${escapeHtml(example)}</code>`;
  });
  const body = `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escapeHtml(title)}</title>
<style>body{font:15px/1.5 system-ui,sans-serif;margin:2em}td{padding:.3em 1em .3em 0;vertical-align:top}</style>
<h1>${escapeHtml(title)}</h1>
<table>
${rows.join('\n')}
</table>
`;
  return { status: 200, type: 'text/html; charset=utf-8', body };
}
