// `sluice identity`: commands that issue certificates to proxies.
import type { Command, ListedCommand } from './usage.js';
import { EXIT_USAGE, printError, summaries } from './usage.js';

const commands: readonly ListedCommand[] = [
  {
    name: 'serve',
    summary: 'issue certificates to proxies that show a token',
    load: async () => (await import('./identity-serve.js')).identityServeCommand,
  },
  {
    name: 'dev',
    summary: 'make a root, an issuer and certificates, to try mutual TLS',
    load: async () => (await import('./identity-dev.js')).identityDevCommand,
  },
];

export const identityCommand: Command = {
  help: `Usage: sluice identity COMMAND [OPTIONS]

Commands:
${summaries(commands)}

\`sluice identity COMMAND --help\` explains a command.

Examples:
  sluice identity dev certificates
  sluice identity serve --issuer issuer.pem --issuer-key issuer-key.pem --kubernetes`,
  commands,
  // No sub-command was given.
  run() {
    printError(this.help);
    return Promise.resolve(EXIT_USAGE);
  },
};
