// `sluice uninject`: removes from manifests what `sluice inject` added.
import { uninjectObject } from '../inject/uninject.js';
import { formatOf, manifestsOf, rewrite, telling } from './inject.js';
import type { Command } from './usage.js';
import { parseArguments } from './usage.js';

export const uninjectCommand: Command = {
  help: `Usage: sluice uninject FILE|FOLDER|URL|- … [-o yaml|json]

Removes from manifests what \`sluice inject\` and the controller added: containers, volumes, labels and annotations
(linkerd.io/inject unless it is disabled, config.linkerd.io/…, and those of sluice.io). Prints the result.

Options:
  -o, --output yaml|json  reformat everything, without comments
  -h, --help              this text

Example:
  kubectl get deploy -o yaml | sluice uninject - | kubectl apply -f -

Exit codes: 0 done; 1 a manifest can't be used, and nothing was printed; 2 wrong usage.`,
  run: (args) =>
    telling('sluice uninject', async () => {
      const { values, positionals } = parseArguments(args, { output: { type: 'string', short: 'o' } }, 1000);
      const format = formatOf(values);
      return rewrite('sluice uninject', await manifestsOf(positionals), format, 'uninjected', uninjectObject);
    }),
};
