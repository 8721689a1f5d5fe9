// `sluice run`: loads the configuration, runs the engine, and handles signals.
import { loadConfigInThread } from '../config/load-in-thread.js';
import type { Config } from '../config/model.js';
import type { Override } from '../config/overrides.js';
import { ConfigError, formatProblem } from '../config/problem.js';
import { NO_FILE, refuseToReadAgain, untilWritten } from '../config/text-file.js';
import type { LogFields, Logger } from '../log/logger.js';
import { createLogger } from '../log/logger.js';
import { processState } from '../log/process-state.js';
import type { Command } from './usage.js';
import { configFile, EXIT_FAILURE, messageOf, parseArguments } from './usage.js';

/** A mesh's rules: the section `authorization` as JSON, and its key in the ConfigMap. */
export interface AccountRules {
  readonly key: string;
  readonly json: string;
}

/** The part of src/supervisor/engine.ts that the command needs. */
export interface EngineHandle {
  /** Applies the new configuration, or throws and changes nothing. */
  reload(config: Config): Promise<void>;
  /** Stops accepting after `holdMs` (default: from the configuration), waits for open work, then closes. */
  drain(options?: { readonly holdMs?: number }): Promise<void>;
  /** Closes at once. */
  kill(): Promise<void>;
  /** The state to log on SIGUSR1. */
  state(): LogFields;
  /** Reports the mesh's rules, if there is a mesh: now and whenever they change. */
  followRules?(report: (accountRules: AccountRules | null) => void): void;
  /** Resolves when everything is closed. `code` is 1 if open work was cut off. */
  readonly closed: Promise<{ readonly code: number }>;
}

/** After `hurry` the start does nothing that only later requests would gain from. */
export type StartEngine = (config: Config, logger: Logger, hurry: AbortSignal) => Promise<EngineHandle>;

async function startEngine(config: Config, logger: Logger, hurry: AbortSignal): Promise<EngineHandle> {
  // Loaded only now: the other commands do not need the native module.
  const { Engine } = await import('../supervisor/engine.js');
  return Engine.start(config, logger, undefined, hurry);
}

export type SignalName = 'SIGTERM' | 'SIGINT' | 'SIGQUIT' | 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2';

export interface Signals {
  on(name: SignalName, listener: () => void): unknown;
}

/** Logs each problem on a line of its own. */
function logReloadFailure(logger: Logger, error: unknown): void {
  if (error instanceof ConfigError) {
    for (const problem of error.problems) logger.error('configuration problem', { problem: formatProblem(problem) });
  }
  const reason = error instanceof ConfigError ? `${error.problems.length} problems` : messageOf(error);
  logger.error('reload refused; the running configuration stays', { reason });
}

/**
 * Runs an engine until it has closed, and returns the exit code. SIGTERM and SIGQUIT drain. SIGINT drains without the hold. A second one of
 * these kills, with exit code 1. SIGHUP reloads. SIGUSR1 logs the state. `load` reads the configuration again. Before that,
 * `rulesChanged` receives the mesh's rules that belong in it.
 */
export async function supervise(
  load: () => Config | Promise<Config>,
  start: StartEngine,
  signals: Signals,
  logger: Logger,
  rulesChanged: (accountRules: AccountRules | null) => void = () => undefined,
): Promise<number> {
  let engine: EngineHandle | undefined;
  let stopping: SignalName | undefined;
  let killed = false;
  let reloading = false;
  let reloadAgain = false;
  let reading = true;
  const hurry = new AbortController();
  let abandon = (): void => undefined;
  const abandoned = new Promise<'abandoned'>((resolve) => {
    abandon = () => resolve('abandoned');
  });

  const kill = (target: EngineHandle): void => {
    target.kill().catch((error: unknown) => logger.error('kill failed', { reason: messageOf(error) }));
  };
  const drain = (signal: SignalName, target: EngineHandle, atOnce = signal === 'SIGINT'): void => {
    logger.info('draining', { signal });
    target.drain(atOnce ? { holdMs: 0 } : {}).catch((error: unknown) => {
      logger.error('drain failed; closing at once', { reason: messageOf(error) });
      killed = true;
      kill(target);
    });
  };
  const stop = (signal: SignalName): void => {
    if (stopping === undefined) {
      stopping = signal;
      // During the start, the signal waits until the start is over, which it is soon now; see below. Reading a pipe takes as long as its
      // writer likes.
      if (engine !== undefined) drain(signal, engine);
      else if (reading) abandon();
      else hurry.abort();
      return;
    }
    if (killed) return;
    killed = true;
    logger.warn('second signal: closing at once', { signal });
    if (engine === undefined) abandon();
    else kill(engine);
  };
  const reload = async (target: EngineHandle): Promise<void> => {
    // A signal during a reload may mean a newer file, so reload once more afterwards.
    reloadAgain = reloading;
    if (reloading) return;
    reloading = true;
    do {
      reloadAgain = false;
      try {
        const config = await load();
        await target.reload(config);
        logger.level = config.log.level;
        logger.info('reloaded', { file: config.file });
      } catch (error) {
        logReloadFailure(logger, error);
      }
    } while (reloadAgain && stopping === undefined);
    reloading = false;
  };
  signals.on('SIGTERM', () => stop('SIGTERM'));
  signals.on('SIGINT', () => stop('SIGINT'));
  signals.on('SIGQUIT', () => stop('SIGQUIT'));
  signals.on('SIGHUP', () => {
    if (stopping !== undefined) return;
    // SIGHUP during the start: the file may have been read before it changed.
    if (engine === undefined) reloadAgain = true;
    else void reload(engine);
  });
  signals.on('SIGUSR1', () => logger.report('state', engine === undefined ? stateAtStart(stopping) : engine.state()));
  signals.on('SIGUSR2', () => logger.report('SIGUSR2 does nothing here; SIGUSR1 logs the state, SIGHUP reloads'));

  const begin = async (): Promise<EngineHandle> => {
    const first = await load();
    reading = false;
    logger.level = first.log.level;
    return start(first, logger, hurry.signal);
  };
  const started = await Promise.race([begin(), abandoned]);
  if (started === 'abandoned') {
    if (!killed) logger.info('stopped before the configuration was read', { signal: stopping });
    return killed ? EXIT_FAILURE : 0;
  }
  engine = started;
  const running = engine;
  running.followRules?.((accountRules) => {
    rulesChanged(accountRules);
    if (stopping === undefined) void reload(running);
  });
  if (stopping !== undefined) drain(stopping, engine, true);
  else if (reloadAgain) void reload(engine);
  const { code } = await engine.closed;
  return killed ? EXIT_FAILURE : code;
}

/** The state before there is an engine. */
function stateAtStart(stopping: SignalName | undefined): LogFields {
  return { ...processState(), phase: stopping === undefined ? 'starting' : 'starting, to end at once' };
}

/** Logs uncaught errors like everything else, and ends the process. */
export function exitWithError(logger: Logger): void {
  const die = (error: unknown): void => {
    logger.error('internal error', { error });
    process.exit(EXIT_FAILURE);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
}

/** `--io` and `--workers`, which override the file's keys. */
function flags(values: Readonly<Record<string, string | boolean | undefined>>): Override[] {
  const overrides: Override[] = [];
  const { io, workers, sidecar } = values;
  if (io !== undefined) overrides.push({ path: ['io'], value: io, source: 'command line', name: '--io' });
  if (sidecar === true)
    overrides.push({ path: ['sidecar', 'enabled'], value: true, source: 'command line', name: '--sidecar' });
  if (typeof workers === 'string') {
    const value = /^-?\d+$/.test(workers) ? Number(workers) : workers;
    overrides.push({ path: ['workers'], value, source: 'command line', name: '--workers' });
  }
  return overrides;
}

/** The mesh's rules replace the configuration's own section. Text that is not JSON is refused when the configuration is checked. */
function rulesOf(accountRules: AccountRules | null): Override[] {
  if (accountRules === null) return [];
  let value: unknown = accountRules.json;
  try {
    value = JSON.parse(accountRules.json);
  } catch {
    // A string is not a section, so the check refuses it.
  }
  return [{ path: ['authorization'], value, source: 'controller', name: `rules of the mesh, key ${accountRules.key}` }];
}

/** Runs the engine that `start` starts, with the arguments of `sluice run`. Returns the exit code. */
export async function runProxy(args: readonly string[], start: StartEngine): Promise<number> {
  const options = {
    config: { type: 'string', short: 'c' },
    io: { type: 'string' },
    workers: { type: 'string' },
    sidecar: { type: 'boolean' },
  } as const;
  const { values } = parseArguments(args, options, 0);
  const file = values.sidecar === true && values.config === undefined ? NO_FILE : configFile(values);
  const overrides = flags(values);
  const logger = createLogger();
  exitWithError(logger);
  let again: string | undefined;
  let rules: readonly Override[] = [];
  const load = async (): Promise<Config> => {
    if (again !== undefined) {
      refuseToReadAgain(again);
      await untilWritten(again);
    }
    const config = await loadConfigInThread(again ?? file, process.env, [...overrides, ...rules]);
    // The process may leave its directory.
    again ??= file === NO_FILE ? file : config.file;
    return config;
  };
  return supervise(load, start, process, logger, (accountRules) => {
    rules = rulesOf(accountRules);
  });
}

export const runCommand: Command = {
  help: `Usage: sluice run -c FILE [--io auto|uring|epoll] [--workers N]
       sluice run --sidecar [-c FILE]

Starts the listeners of FILE and runs until it gets a signal to stop. Logs are one JSON object a line on stderr.

Options:
  -c, --config FILE   the configuration (\`sluice check\` validates it without starting)
      --io EXECUTOR   auto (default), uring or epoll; auto uses io_uring if the kernel allows it
      --sidecar       accept the connections that \`sluice init\` redirects: ports 4143 (in) and 4140 (out), admin :4191
      --workers N     threads that carry traffic, 1 to 64, or auto for one per available core
  -h, --help          this text

Flags override SLUICE_ variables (SLUICE_LOG_LEVEL for log.level), which override the file.

Signals:
  SIGTERM             stop accepting after drain.hold, let open work end within drain.grace, exit
  SIGQUIT             the same
  SIGINT (Ctrl-C)     the same without the hold
  a second one        close everything at once, exit 1
  SIGHUP              reread FILE; a file with mistakes is rejected and the running configuration stays
  SIGUSR1             log a summary: phase, workers, connections, services, memory, file descriptors

The process is called sluice: pkill -HUP -x sluice, kill -USR1 $(pidof sluice).

Examples:
  sluice run -c sluice.yaml
  sluice run -c sluice.yaml --io epoll --workers auto
  SLUICE_LOG_LEVEL=debug sluice run -c sluice.yaml

Exit codes: 0 drained, 1 failed or cut off, 2 wrong usage.`,
  run: (args) => runProxy(args, startEngine),
};
