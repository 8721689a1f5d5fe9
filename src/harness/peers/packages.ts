// Packages that are no dependencies of ours: in node_modules of a directory that the user names, or in ours by chance.
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** The package as it exports itself; null where neither directory has it. */
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

/** What its package.json says of it; null where it isn't there. */
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
