// Tools that read histograms, built by tools/setup.sh (`make peers`).
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCES = fileURLToPath(new URL('../../../test/interop/tools/', import.meta.url));

export type Tool = 'go' | 'java' | 'python' | 'otelcol';

export const toolFolder = (tool: Tool): string =>
  execFileSync('bash', [join(SOURCES, 'setup.sh'), 'where', tool], { encoding: 'utf8' }).trim();

/** Why a tool can't be had; false where it can: for `skip`. */
export const lackingTool = (tool: Tool): string | false =>
  existsSync(join(toolFolder(tool), '.built')) ? false : `${tool} that reads histograms is not built (make peers)`;

/** The program that reads a log and writes it again, with its first arguments. */
export function relog(tool: Exclude<Tool, 'otelcol'>): readonly [program: string, ...args: string[]] {
  const folder = toolFolder(tool);
  switch (tool) {
    case 'go':
      return [join(folder, 'relog')];
    case 'java':
      return ['java', '-XX:TieredStopAtLevel=1', '-cp', `${folder}/lib/*:${folder}/classes`, 'Relog'];
    case 'python':
      return [join(folder, 'bin/python'), join(SOURCES, 'python/relog.py')];
  }
}
