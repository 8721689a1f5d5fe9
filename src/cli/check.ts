import { readConfig } from '../config/load.js';
import { ConfigError, formatProblem } from '../config/problem.js';
import { endpointFileProblems } from '../discovery/check-files.js';
import { credentialFindings } from '../identity/check-files.js';
import { identityFindings } from '../identity/check-identity.js';
import type { Command } from './usage.js';
import { complain, configFile, parseArguments, print } from './usage.js';

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

export const checkCommand: Command = {
  help: `Usage: sluice check -c FILE

Reads FILE as \`sluice run\` would, SLUICE_ variables included, and the files of endpoints, certificates and keys that it
names, and starts nothing. Every mistake gets a line on stderr:

  sluice.yaml:4:14: listeners[0].listen: "localhost" is not numeric; write "127.0.0.1:8080"

Options:
  -c, --config FILE   the configuration
  -h, --help          this text

Example:
  sluice check -c sluice.yaml && kill -HUP "$(pidof sluice)"

Exit codes: 0 the file is right, 1 it is not, 2 wrong usage.`,
  async run(args) {
    const { values } = parseArguments(args, { config: { type: 'string', short: 'c' } }, 0);
    const file = configFile(values);
    const loaded = readConfig(file, process.env);
    const findings = [credentialFindings(file, loaded), identityFindings(file, loaded)];
    const problems = [endpointFileProblems(file, loaded), ...findings.map(({ problems: some }) => some)]
      .flat()
      .sort((a, b) => a.line - b.line || a.column - b.column);
    for (const warning of findings.flatMap(({ warnings }) => warnings))
      complain(`${formatProblem(warning)} (a warning)`);
    if (problems.length > 0) throw new ConfigError(problems);
    const { listeners, services } = loaded.config;
    print(`${file}: ok (${plural(listeners.length, 'listener')}, ${plural(services.length, 'service')})`);
    return 0;
  },
};
