// `sluice bench`: load on servers and proxies, and its measurements.
import type { Command, ListedCommand } from './usage.js';
import { EXIT_USAGE, printError, summaries } from './usage.js';

const commands: readonly ListedCommand[] = [
  {
    name: 'run',
    summary: 'load a server, and say how fast it answers',
    load: async () => (await import('./bench-run.js')).benchRunCommand,
  },
  {
    name: 'matrix',
    summary: 'measure proxies under the same load, in turns',
    load: async () => (await import('./bench-matrix.js')).benchMatrixCommand,
  },
  {
    name: 'saturate',
    summary: 'find the highest rate at which latency stays under a limit',
    load: async () => (await import('./bench-saturate.js')).benchSaturateCommand,
  },
  {
    name: 'compare',
    summary: 'show what has changed between two runs, and whether it is noise',
    load: async () => (await import('./bench-compare.js')).benchCompareCommand,
  },
  {
    name: 'gate',
    summary: 'measure this build against the commit that it comes from',
    load: async () => (await import('./bench-gate.js')).benchGateCommand,
  },
  {
    name: 'report',
    summary: 'write the results of a run as a page, a table and histograms',
    load: async () => (await import('./bench-report.js')).benchReportCommand,
  },
  {
    name: 'micro',
    summary: 'measure the pieces of the hot path by themselves',
    load: async () => (await import('./bench-micro.js')).benchMicroCommand,
  },
];

export const benchCommand: Command = {
  help: `Usage: sluice bench COMMAND [OPTIONS]

Commands:
${summaries(commands)}

\`sluice bench COMMAND --help\` explains a command.`,
  commands,
  // No sub-command was given.
  run() {
    printError(this.help);
    return Promise.resolve(EXIT_USAGE);
  },
};
