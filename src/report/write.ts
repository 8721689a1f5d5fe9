// Writes all reports of a result to a directory.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HarnessResult } from '../harness/results.js';
import { hgrmFiles, histogramLog } from './histogram-files.js';
import { markdown } from './markdown.js';
import { overview } from './overview.js';
import { page } from './page.js';

/** Writes `report.html`, `report.md`, `overview.svg`, `latency.hlog` and `.hgrm` files. Returns their paths. Throws file system errors. */
export function writeReport(result: HarnessResult, directory: string): string[] {
  mkdirSync(directory, { recursive: true });
  const files: [string, string][] = [
    ['report.html', page(result)],
    ['report.md', markdown(result)],
    ['overview.svg', overview(result).toString()],
    ['latency.hlog', histogramLog(result)],
    ...hgrmFiles(result),
  ];
  return files.map(([name, content]) => {
    const path = join(directory, name);
    writeFileSync(path, content);
    return path;
  });
}
