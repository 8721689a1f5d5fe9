// A directory that goes away with the test file.
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

export interface Scratch {
  path(name: string): string;
  /** Writes a file; its path. */
  file(name: string, text: string): string;
}

export function scratchDirectory(): Scratch {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'sluice-discovery-')));
  after(() => rmSync(directory, { recursive: true, force: true }));
  const path = (name: string): string => join(directory, name);
  return {
    path,
    file: (name, text) => {
      writeFileSync(path(name), text);
      return path(name);
    },
  };
}
