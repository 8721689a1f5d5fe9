// The dashboard as the admin port serves it: one page, bundled from `page/` by `bundle.mjs`, with a policy that lets it load nothing else.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

export interface DashboardPage {
  readonly html: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The hash of an inline element's content, as a source in a Content-Security-Policy. */
function hashOf(html: string, open: string, close: string): string {
  const from = html.indexOf(open) + open.length;
  const content = html.slice(from, html.indexOf(close, from));
  return `'sha256-${createHash('sha256').update(content).digest('base64')}'`;
}

export function dashboardPage(): DashboardPage {
  const html = readFileSync(new URL('../../src/dashboard/page.html', import.meta.url), 'utf8');
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(html, '<script type="module">', '</script>')}`,
    `style-src ${hashOf(html, '<style>', '</style>')}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ];
  return {
    html,
    headers: {
      'Content-Security-Policy': policy.join('; '),
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Resource-Policy': 'same-origin',
      'Referrer-Policy': 'no-referrer',
      'X-Frame-Options': 'DENY',
    },
  };
}
