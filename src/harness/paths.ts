// Paths of our programs and of others'.
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The directory of package.json. */
export const packageRoot = ((): string => {
  let at = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(at, 'package.json'))) {
    if (dirname(at) === at) throw new Error('package.json is not found above the program');
    at = dirname(at);
  }
  return at;
})();

/** The directory that the compiler wrote to (`dist`). */
export const outputRoot = fileURLToPath(new URL('../../', import.meta.url));

/** The `sluice` command; null if it is not built. */
export const sluiceMain: string | null =
  [join(outputRoot, 'src/cli/main.js'), join(packageRoot, 'dist/src/cli/main.js')].find((path) => existsSync(path)) ??
  null;

/** Node.js flags like those of the image and the unit in the README: one compiler thread leaves a worker its core. */
export const NODE_FLAGS = ['--v8-pool-size=1'] as const;

/** Replaces `node dist/src/cli/main.js`; it is called with the arguments `run -c FILE --io IO --workers N`. */
const COMMAND = process.env.SLUICE_BENCH_COMMAND?.split(' ').filter(Boolean);

/** Arguments for `node` that start Sluice; null if it is not built. */
export function sluiceCommand(): readonly string[] | null {
  return COMMAND ?? (sluiceMain === null ? null : [process.execPath, ...NODE_FLAGS, sluiceMain]);
}

export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Absolute path of `command` on the PATH or in the sbin directories, or null. */
export function which(command: string): string | null {
  for (const directory of `${process.env.PATH ?? ''}:/usr/sbin:/sbin`.split(':')) {
    const path = join(directory, command);
    if (directory && isProgram(path)) return path;
  }
  return null;
}
