// Picks the sub-command, turns what it throws into a message and an exit code.
import { ConfigError } from '../config/problem.js';
import { suggest } from '../config/suggest.js';
import { awaitCommand } from './await.js';
import { checkCommand } from './check.js';
import { explainCommand } from './explain.js';
import { identityCommand } from './identity.js';
import { initCommand } from './init.js';
import { runCommand } from './run.js';
import type { Command } from './usage.js';
import { complain, FAILURE, messageOf, print, USAGE, UsageError } from './usage.js';
import { versionCommand } from './version.js';

const commands: readonly Command[] = [
  runCommand,
  checkCommand,
  explainCommand,
  identityCommand,
  initCommand,
  awaitCommand,
  versionCommand,
];

const HELP = `Sluice: a sidecar proxy that looks at the first bytes of every TCP connection. HTTP is balanced per
request; everything else is relayed as it is.

Usage: sluice COMMAND [OPTIONS]

Commands:
${commands.map(({ name, summary }) => `  ${name.padEnd(9)} ${summary}`).join('\n')}

\`sluice COMMAND --help\` explains a command. To begin with:

  sluice check -c sluice.yaml     is the file right?
  sluice run -c sluice.yaml       start; Ctrl-C drains and stops

Exit codes: 0 done, 1 failed, 2 wrong usage.`;

function findCommand(name: string, among: readonly Command[] = commands): Command {
  const command = among.find((known) => known.name === name);
  if (command !== undefined) return command;
  const what = name.startsWith('-') ? 'option' : 'command';
  throw new UsageError(
    `unknown ${what} ${name}; ${suggest(
      name,
      among.map((known) => known.name),
    )}`,
  );
}

interface Called {
  readonly command: Command;
  /** Its name, with that of the command that it is one of. */
  readonly name: string;
  readonly args: readonly string[];
}

/** The command that arguments begin with; of one that consists of several, the one that comes next. */
function called(first: string, args: readonly string[], name = first, among = commands): Called {
  const command = findCommand(first, among);
  const [next, ...rest] = args;
  if (command.commands === undefined || next === undefined || next === '--help' || next === '-h')
    return { command, name, args };
  try {
    return called(next, rest, `${name} ${next}`, command.commands);
  } catch (error) {
    if (error instanceof UsageError) error.topic ||= name;
    throw error;
  }
}

export async function main(args: readonly string[]): Promise<number> {
  const [first, ...rest] = args;
  let topic = '';
  try {
    if (first === '--help' || first === '-h' || (first === 'help' && rest.length === 0)) {
      print(HELP);
      return 0;
    }
    if (first === undefined) {
      complain(HELP);
      return USAGE;
    }
    if (first === 'help') {
      const [name, ...more] = rest;
      print(called(name, more).command.help);
      return 0;
    }
    const { command, name, args: own } = called(first === '--version' || first === '-v' ? 'version' : first, rest);
    topic = ` ${name}`;
    if (own.includes('--help') || own.includes('-h')) {
      print(command.help);
      return 0;
    }
    return await command.run(own);
  } catch (error) {
    if (error instanceof UsageError) {
      if (error.topic !== '') topic = ` ${error.topic}`;
      complain(`sluice${topic}: ${error.message}\nTry: sluice${topic} --help`);
      return USAGE;
    }
    if (error instanceof ConfigError) {
      complain(error.message);
      return error.problems.every(({ file }) => file === 'command line') ? USAGE : FAILURE;
    }
    const causes = error instanceof AggregateError ? error.errors : [error];
    for (const cause of causes) complain(`sluice${topic}: ${messageOf(cause)}`);
    return FAILURE;
  }
}
