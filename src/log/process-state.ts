// General properties of a process.
import { readdirSync, readFileSync } from 'node:fs';
import type { LogFields } from './logger.js';

/** The version in package.json. */
export function sluiceVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return String((JSON.parse(text) as { version: unknown }).version);
}

/** Open ones, and the limit; -1 if /proc does not tell. */
export function descriptors(): { readonly open: number; readonly limit: number } {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
    // One of them is the directory being read.
    return { open: readdirSync('/proc/self/fd').length - 1, limit: soft === undefined ? -1 : Number(soft) };
  } catch {
    return { open: -1, limit: -1 };
  }
}

/** Version, age, memory and file descriptors. */
export function processState(): LogFields {
  const { rss, heapUsed } = process.memoryUsage();
  return {
    version: sluiceVersion(),
    node: process.versions.node,
    pid: process.pid,
    uptimeSeconds: Math.round(process.uptime()),
    memory: { rss, heapUsed },
    descriptors: descriptors(),
  };
}
