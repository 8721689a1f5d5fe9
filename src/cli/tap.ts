// `sluice tap`: shows requests of a running proxy as they end.

import { tapLine } from './tap-line.js';
import { follow, TAP_HELP, TAP_OPTIONS, type TapRecord, tapCall } from './tap-options.js';
import { supportsColour } from './terminal-text.js';
import { untilInterrupted } from './until-interrupted.js';
import { type Command, parseArguments, print, printError, UsageError } from './usage.js';

const OUTPUTS = ['text', 'wide', 'json'];

export const tapCommand: Command = {
  help: `Usage: sluice tap [OPTIONS]

Shows requests and opaque connections of a running proxy, a line for each when it has ended: what was requested, how it
ended, and how long it took. If there are more than --max-rps a second, only some are shown. Queries are shown as they
were sent. Ctrl-C ends it.

Options:
${TAP_HELP}
  -o, --output FORMAT      text, wide (everything) or json (one record per line)
  -h, --help               this text

Examples:
  sluice tap
  sluice tap --path /api --status 5xx
  sluice tap --latency-above 100ms --service web -o wide
  sluice tap -o json | jq -r .path

Exit codes: 0 ended, 1 no such proxy or refused, 2 wrong usage.`,
  async run(args) {
    const { values } = parseArguments(args, { ...TAP_OPTIONS, output: { type: 'string', short: 'o' } }, 0);
    const output = String(values.output ?? 'text');
    if (!OUTPUTS.includes(output))
      throw new UsageError(`--output: "${output}" is unknown; expected one of ${OUTPUTS.join(', ')}`);
    const style = { wide: output === 'wide', colours: supportsColour(process.stdout) };
    const leftOut = new OmissionNotice();
    await untilInterrupted((signal) =>
      follow(tapCall(values), signal, (record) => {
        leftOut.note(record);
        const line = output === 'json' ? JSON.stringify(record) : tapLine(record, style);
        if (line !== '') print(line);
      }),
    );
    return 0;
  },
};

/** Says on standard error how many records were left out, whenever that number changes. */
class OmissionNotice {
  private before = 0;

  note({ message, leftOut, dropped }: TapRecord): void {
    if (message !== 'tap' || typeof leftOut !== 'number' || typeof dropped !== 'number') return;
    const now = leftOut + dropped;
    if (now > this.before)
      printError(
        `sluice tap: ${now - this.before} more were left out (${leftOut} beyond --max-rps, ${dropped} not read in time)`,
      );
    this.before = now;
  }
}
