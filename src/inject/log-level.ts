// Log levels in the notation of Linkerd's proxy: `info`, or directives such as `warn,linkerd=debug,hickory=error`.
import type { LogLevel } from '../config/telemetry-model.js';

const LEVELS: Readonly<Record<string, LogLevel>> = {
  off: 'error',
  error: 'error',
  warn: 'warn',
  warning: 'warn',
  info: 'info',
  debug: 'debug',
  trace: 'debug',
};

/** Targets that mean the whole proxy. */
const PROXIES = ['linkerd', 'sluice'];

const levelOf = (text: string): LogLevel | null => {
  const word = text.trim().toLowerCase();
  return Object.hasOwn(LEVELS, word) ? LEVELS[word] : null;
};

/** Our level; null if the text has none. A level for the proxy takes precedence over the general one. */
export function logLevelOf(text: string): LogLevel | null {
  let all: LogLevel | null = null;
  let own: LogLevel | null = null;
  // A directive may contain a span with fields, `linkerd[{addr=10.0.0.1,x}]=debug`, whose commas do not separate directives.
  for (const directive of text.replaceAll(/\[[^\]]*\]/g, '').split(',')) {
    const [target, level, ...more] = directive.split('=');
    if (more.length > 0) continue;
    if (level === undefined) all = levelOf(target) ?? all;
    else if (PROXIES.includes(target.trim())) own = levelOf(level) ?? own;
  }
  return own ?? all;
}
