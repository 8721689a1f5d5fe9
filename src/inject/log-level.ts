// Log levels as Linkerd's proxy takes them: `info`, or directives such as `warn,linkerd=debug,hickory=error`.
import type { LogLevel } from '../config/model.js';

const LEVELS: Readonly<Record<string, LogLevel>> = {
  off: 'error',
  error: 'error',
  warn: 'warn',
  warning: 'warn',
  info: 'info',
  debug: 'debug',
  trace: 'debug',
};

/** Parts of Linkerd's proxy, and ours, by which somebody means the whole of it. */
const PROXIES = ['linkerd', 'sluice'];

const levelOf = (text: string): LogLevel | null => {
  const word = text.trim().toLowerCase();
  return Object.hasOwn(LEVELS, word) ? LEVELS[word] : null;
};

/** Our level; null where the text names none. What it says of the proxy counts before what it says of everything. */
export function logLevelOf(text: string): LogLevel | null {
  let all: LogLevel | null = null;
  let own: LogLevel | null = null;
  // A directive may have a span with fields, `linkerd[{addr=10.0.0.1,x}]=debug`, whose commas are none of the list.
  for (const directive of text.replaceAll(/\[[^\]]*\]/g, '').split(',')) {
    const [target, level, ...more] = directive.split('=');
    if (more.length > 0) continue;
    if (level === undefined) all = levelOf(target) ?? all;
    else if (PROXIES.includes(target.trim())) own = levelOf(level) ?? own;
  }
  return own ?? all;
}
