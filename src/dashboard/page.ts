// The dashboard as the admin port serves it: one page, made by `bundle.mjs` of what is in `page/`, and the policy that keeps it to itself.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

export interface DashboardPage {
  readonly html: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The hash of what stands between two tags, as a source of a Content-Security-Policy. */
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
