// `sluice identity`: what gives proxies their certificates.
import { identityDevCommand } from './identity-dev.js';
import { identityServeCommand } from './identity-serve.js';
import type { Command } from './usage.js';
import { complain, USAGE } from './usage.js';

const commands: readonly Command[] = [identityServeCommand, identityDevCommand];

export const identityCommand: Command = {
  name: 'identity',
  summary: 'give proxies their certificates',
  help: `Usage: sluice identity COMMAND [OPTIONS]

Commands:
${commands.map(({ name, summary }) => `  ${name.padEnd(9)} ${summary}`).join('\n')}

\`sluice identity COMMAND --help\` explains a command.

Examples:
  sluice identity dev certificates
  sluice identity serve --issuer issuer.pem --issuer-key issuer-key.pem --kubernetes`,
  commands,
  // Called without the name of one of them.
  run() {
    complain(this.help);
    return Promise.resolve(USAGE);
  },
};
