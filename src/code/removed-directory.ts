// Node.js starts no thread in a directory that has been removed, for example by an upgrade of what is installed there.
import { chdir, cwd } from 'node:process';

/** Where that has happened, the process moves to the root. */
export function leaveRemovedDirectory(): void {
  try {
    // Node.js remembers the directory until it changes.
    chdir('.');
    cwd();
  } catch {
    chdir('/');
  }
}
