// Installs the rules of rules.ts with the kernel's tools.
import { spawnSync } from 'node:child_process';
import { type Family, HOOKS, INBOUND_CHAIN, OUTBOUND_CHAIN, type Redirect, restoreInput } from './rules.js';

export const MODES = ['auto', 'nft', 'legacy', 'plain'] as const;
/** Which tools: nftables, legacy xtables, those without a suffix, or the first of these that works. */
export type Mode = (typeof MODES)[number];

export interface Outcome {
  /** null: it could not be started. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. Tests replace it. */
export type Run = (command: string, args: readonly string[], input?: string) => Outcome;

export const runCommand: Run = (command, args, input = '') => {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    input,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    // The kernel's error messages, as they appear in the tools' output.
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...process.env, LC_ALL: 'C' },
  });
  if (error === undefined) return { status, stdout, stderr };
  const missing = 'code' in error && error.code === 'ENOENT';
  return { status: null, stdout: '', stderr: missing ? 'it is not installed' : error.message };
};

export interface ApplyOptions {
  readonly mode: Mode;
  /** How long to wait for other processes that change rules, seconds. */
  readonly waitSeconds: number;
}

/** Rules could not be installed; the message has the tool and its output. */
export class RedirectError extends Error {
  override readonly name = 'RedirectError';
}

const SUFFIXES: Readonly<Record<Mode, readonly string[]>> = {
  // Without a suffix: the system's default.
  auto: ['', '-nft', '-legacy'],
  nft: ['-nft'],
  legacy: ['-legacy'],
  plain: [''],
};

const NAMES: Readonly<Record<Family, string>> = { 4: 'iptables', 6: 'ip6tables' };

const firstLine = (text: string): string => text.trim().split('\n')[0];

function advice(family: Family, said: string): string {
  if (/permission denied|operation not permitted|must be root/i.test(said))
    return '; rules need root with NET_ADMIN and NET_RAW, in the network namespace of the pod';
  return family === 6 ? '; --ipv6=off leaves IPv6 alone' : '; install iptables, or name another --iptables-mode';
}

export interface Tool {
  readonly command: string;
  /** The current table, in the format of `iptables -S`. */
  readonly table: string;
}

/** The first tool of the mode that can read the table. */
export function findTool(family: Family, { mode, waitSeconds }: ApplyOptions, run: Run): Tool {
  const said: string[] = [];
  for (const suffix of SUFFIXES[mode]) {
    const command = `${NAMES[family]}${suffix}`;
    const { status, stdout, stderr } = run(command, ['-w', `${waitSeconds}`, '-t', 'nat', '-S']);
    if (status === 0) return { command, table: stdout };
    said.push(`${command}: ${firstLine(stderr) || `exit code ${status}`}`);
  }
  throw new RedirectError(`no rules for IPv${family}: ${said.join('; ')}${advice(family, said.join())}`);
}

/** Existing hooks, by the kernel's chain. */
export function hookedChains(table: string): Set<string> {
  const lines = table.split('\n');
  const there = HOOKS.filter(({ from, to }) =>
    lines.some((line) => line.startsWith(`-A ${from} `) && ` ${line} `.includes(` -j ${to} `)),
  );
  return new Set(there.map(({ from }) => from));
}

const rulesOf = (table: string, chain: string): number =>
  table.split('\n').filter((line) => line.startsWith(`-A ${chain} `)).length;

/** Counts rules in `restore`'s input or in a table, for each of our chains and for the hooks. */
function counted(table: string): string {
  const chains = [INBOUND_CHAIN, OUTBOUND_CHAIN].map((chain) => rulesOf(table, chain));
  return [...chains, hookedChains(table).size].join();
}

/** Installs the rules of an address family, and verifies them. Throws a RedirectError. */
export function applyRules(redirect: Redirect, family: Family, options: ApplyOptions, run: Run = runCommand): Tool {
  const tool = findTool(family, options, run);
  const input = restoreInput(redirect, family, hookedChains(tool.table));
  const wait = ['-w', `${options.waitSeconds}`];
  const restored = run(`${tool.command}-restore`, ['--noflush', ...wait], input);
  if (restored.status !== 0) {
    const said = firstLine(restored.stderr) || `exit code ${restored.status}`;
    throw new RedirectError(`no rules for IPv${family}: ${tool.command}-restore: ${said}${advice(family, said)}`);
  }
  const { stdout: table } = run(tool.command, [...wait, '-t', 'nat', '-S']);
  const wanted = counted(restoreInput(redirect, family, new Set()));
  if (counted(table) !== wanted)
    throw new RedirectError(
      `${tool.command}: the rules for IPv${family} differ from what was written; does another program change them?`,
    );
  return { command: tool.command, table };
}
