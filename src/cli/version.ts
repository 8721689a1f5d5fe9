import { native } from '../io/native.js';
import { sluiceVersion } from '../log/process-state.js';
import type { Command } from './usage.js';
import { messageOf, parseArguments, print } from './usage.js';

/** The executor that `io: auto` uses here, found by creating the smallest possible ring. */
function executor(): string {
  try {
    const module = native();
    const { executor: taken, reason } = module.create('auto', 8, 8, 2 ** 20);
    module.destroy();
    return reason === '' ? taken : `${taken} (${reason})`;
  } catch (error) {
    return `not available: ${messageOf(error)}`;
  }
}

export const versionCommand: Command = {
  help: `Usage: sluice version

Prints the versions of Sluice and Node, and the executor that \`io: auto\` would use here: uring if the kernel and the
container's seccomp profile allow io_uring, otherwise epoll, with the reason.

Example:
  docker run --rm IMAGE sluice version`,
  async run(args) {
    parseArguments(args, {}, 0);
    print(`sluice ${sluiceVersion()}\nnode ${process.version} (${process.platform}-${process.arch})\nio ${executor()}`);
    return 0;
  },
};
