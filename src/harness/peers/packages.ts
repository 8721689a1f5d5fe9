// Packages that are not our dependencies: from node_modules of a directory named by the user, or from ours if they happen to be there.
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** The package's exports; null if neither directory has it. */
export function foreign(name: string, directories: readonly string[]): unknown {
  for (const directory of directories) {
    try {
      return createRequire(join(directory, 'index.js'))(name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  return null;
}

/** Its version in package.json; null if it is not there. */
export function foreignVersion(name: string, directories: readonly string[]): string | null {
  for (const directory of directories) {
    try {
      const found: unknown = createRequire(join(directory, 'index.js'))(`${name}/package.json`);
      return String((found as { version?: unknown }).version);
    } catch {
      // the next one may have it
    }
  }
  return null;
}
