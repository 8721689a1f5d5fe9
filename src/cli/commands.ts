// Picks the sub-command, and turns errors into a message and an exit code.
import { ConfigError } from '../config/problem.js';
import { suggest } from '../config/suggest.js';
import { withHelp } from './shortages.js';
import type { Command, ListedCommand } from './usage.js';
import { EXIT_FAILURE, EXIT_USAGE, messageOf, print, printError, summaries, UsageError } from './usage.js';

const commands: readonly ListedCommand[] = [
  { name: 'run', summary: 'start the proxy', load: async () => (await import('./run.js')).runCommand },
  {
    name: 'check',
    summary: 'validate a configuration, or manifests, and list every mistake',
    load: async () => (await import('./check.js')).checkCommand,
  },
  {
    name: 'explain',
    summary: 'say how a connection to HOST:PORT would be handled, and why',
    load: async () => (await import('./explain.js')).explainCommand,
  },
  {
    name: 'stat',
    summary: 'show requests, success and latency of the services of a running proxy',
    load: async () => (await import('./stat.js')).statCommand,
  },
  {
    name: 'endpoints',
    summary: 'show its endpoints: state, share of the traffic, latency',
    load: async () => (await import('./endpoints.js')).endpointsCommand,
  },
  {
    name: 'edges',
    summary: 'show who speaks with whom through it, and what is secured',
    load: async () => (await import('./edges.js')).edgesCommand,
  },
  {
    name: 'routes',
    summary: 'show requests, success and latency by route class: read, write, grpc',
    load: async () => (await import('./routes.js')).routesCommand,
  },
  {
    name: 'identity',
    summary: 'issue certificates to proxies',
    load: async () => (await import('./identity.js')).identityCommand,
  },
  {
    name: 'controller',
    summary: 'run the controller of a Kubernetes mesh: endpoints, certificates, injection',
    load: async () => (await import('./controller.js')).controllerCommand,
  },
  {
    name: 'init',
    summary: "redirect a pod's connections to the proxy",
    load: async () => (await import('./init.js')).initCommand,
  },
  {
    name: 'await',
    summary: 'wait until a proxy is ready',
    load: async () => (await import('./await.js')).awaitCommand,
  },
  {
    name: 'inject',
    summary: 'prepare Kubernetes manifests, so that their pods get a proxy',
    load: async () => (await import('./inject.js')).injectCommand,
  },
  {
    name: 'uninject',
    summary: 'remove from manifests what inject has added',
    load: async () => (await import('./uninject.js')).uninjectCommand,
  },
  {
    name: 'tap',
    summary: 'show requests of a running proxy as they end',
    load: async () => (await import('./tap.js')).tapCommand,
  },
  {
    name: 'top',
    summary: 'follow the requests of a running proxy by method and path',
    load: async () => (await import('./top.js')).topCommand,
  },
  {
    name: 'bench',
    summary: 'load a server, or measure proxies against each other',
    load: async () => (await import('./bench.js')).benchCommand,
  },
  {
    name: 'histograms',
    summary: 'show latencies of a running proxy, also in the formats of other tools',
    load: async () => (await import('./histograms.js')).histogramsCommand,
  },
  {
    name: 'version',
    summary: 'print the versions of Sluice and Node, and the I/O executor that this host allows',
    load: async () => (await import('./version.js')).versionCommand,
  },
];

const HELP = `Sluice: a sidecar proxy that looks at the first bytes of every TCP connection. HTTP is balanced per
request; everything else is relayed as it is.

Usage: sluice COMMAND [OPTIONS]

Commands:
${summaries(commands)}

\`sluice COMMAND --help\` explains a command. To begin with:

  sluice check -c sluice.yaml     is the file right?
  sluice run -c sluice.yaml       start; Ctrl-C drains and stops

Exit codes: 0 done, 1 failed, 2 wrong usage.`;

function findCommand(name: string, among: readonly ListedCommand[]): Promise<Command> {
  const command = among.find((known) => known.name === name);
  if (command !== undefined) return command.load();
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
  /** Its name, including its parent command. */
  readonly name: string;
  readonly args: readonly string[];
}

/** The command that the arguments name; for a group of commands, the sub-command. */
async function called(first: string, args: readonly string[], name = first, among = commands): Promise<Called> {
  const command = await findCommand(first, among);
  const [next, ...rest] = args;
  if (command.commands === undefined || next === undefined || next === '--help' || next === '-h')
    return { command, name, args };
  if (command.takesArguments === true && !command.commands.some((known) => known.name === next))
    return { command, name, args };
  try {
    return await called(next, rest, `${name} ${next}`, command.commands);
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
      printError(HELP);
      return EXIT_USAGE;
    }
    if (first === 'help') {
      const [name, ...more] = rest;
      print((await called(name, more)).command.help);
      return 0;
    }
    const asked = first === '--version' || first === '-v' ? 'version' : first;
    const { command, name, args: own } = await called(asked, rest);
    topic = ` ${name}`;
    if (own.includes('--help') || own.includes('-h')) {
      print(command.help);
      return 0;
    }
    return await command.run(own);
  } catch (error) {
    if (error instanceof UsageError) {
      if (error.topic !== '') topic = ` ${error.topic}`;
      printError(`sluice${topic}: ${error.message}\nTry: sluice${topic} --help`);
      return EXIT_USAGE;
    }
    if (error instanceof ConfigError) {
      printError(error.message);
      return error.problems.every(({ file }) => file === 'command line') ? EXIT_USAGE : EXIT_FAILURE;
    }
    const causes = error instanceof AggregateError ? error.errors : [error];
    for (const cause of causes) printError(`sluice${topic}: ${withHelp(messageOf(cause))}`);
    return EXIT_FAILURE;
  }
}
