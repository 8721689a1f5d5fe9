import { readConfig } from '../config/load.js';
import { ConfigError, formatProblem } from '../config/problem.js';
import { endpointFileProblems } from '../discovery/check-files.js';
import { credentialFindings } from '../identity/check-files.js';
import { identityFindings } from '../identity/check-identity.js';
import { print, printError } from './usage.js';

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** `sluice check -c FILE`. */
export function checkConfiguration(file: string): number {
  const loaded = readConfig(file, process.env);
  const findings = [credentialFindings(file, loaded), identityFindings(file, loaded)];
  const problems = [endpointFileProblems(file, loaded), ...findings.map(({ problems: some }) => some)]
    .flat()
    .sort((a, b) => a.line - b.line || a.column - b.column);
  for (const warning of findings.flatMap(({ warnings }) => warnings))
    printError(`${formatProblem(warning)} (a warning)`);
  if (problems.length > 0) throw new ConfigError(problems);
  const { listeners, services } = loaded.config;
  print(`${file}: ok (${plural(listeners.length, 'listener')}, ${plural(services.length, 'service')})`);
  return 0;
}
