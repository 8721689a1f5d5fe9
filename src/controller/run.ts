// A controller's life: its parts begin in stages, it says whether it is ready, and on a signal all that is open ends in order.
import type { Registry } from 'prom-client';
import type { Address } from '../config/model.js';
import { IssuingAdmin } from '../identity/issuing/admin.js';
import type { Logger } from '../log/logger.js';
import type { Part } from './part.js';

export interface ControllerOptions {
  readonly admin: Address;
  /** Parts of a stage begin together, when those of the stage before have. They end in the opposite order. */
  readonly stages: readonly (readonly Part[])[];
  readonly registry: Registry;
}

type Signals = Pick<NodeJS.Process, 'on'>;

const ENDING = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

/** Runs until it is told to stop; returns the exit code: 0 where nothing had to be cut off. Rejects where a part can't begin. */
export async function runController(
  { admin: place, stages, registry }: ControllerOptions,
  logger: Logger,
  signals: Signals,
): Promise<number> {
  const parts = stages.flat();
  let draining = false;
  const admin = new IssuingAdmin({
    registry,
    reasons: () => [...(draining ? ['draining'] : []), ...said(parts, (part) => part.unready())],
    notes: () => said(parts, ({ problem }) => problem),
  });
  // The first ends it, the second at once. They may come while parts begin.
  const told: ((signal: NodeJS.Signals) => void)[] = [];
  const stopped = new Promise<NodeJS.Signals>((resolve) => told.push(resolve));
  const hurried = new Promise<false>((resolve) => told.push(() => resolve(false)));
  for (const name of ENDING) signals.on(name, () => told.shift()?.(name));
  await admin.listen(place);
  logger.info('controller started', { adminPort: admin.port });
  try {
    const early = await begin(stages, stopped);
    if (early === null) logger.info('all parts have begun', { parts: parts.map(({ name }) => name) });
    const signal = early ?? (await stopped);
    draining = true;
    logger.info('draining', { signal });
    const clean = await Promise.race([end(stages), hurried]);
    logger.info('controller ended', { cutOff: !clean });
    return clean ? 0 : 1;
  } catch (error) {
    await Promise.race([end(stages), hurried]);
    throw error;
  } finally {
    admin.close();
  }
}

/** null when all have begun; else the signal that came before. */
async function begin(
  stages: ControllerOptions['stages'],
  stopped: Promise<NodeJS.Signals>,
): Promise<NodeJS.Signals | null> {
  for (const stage of stages) {
    const signal = await Promise.race([stopped, beginAll(stage)]);
    if (signal !== null) return signal;
  }
  return null;
}

/** Rejects where one can't begin, when the others of its stage have: only what has begun can end. */
async function beginAll(stage: readonly Part[]): Promise<null> {
  const starts = stage.map((part) => part.start());
  await Promise.allSettled(starts);
  await Promise.all(starts);
  return null;
}

async function end(stages: ControllerOptions['stages']): Promise<boolean> {
  let clean = true;
  for (const stage of [...stages].reverse()) {
    const closed = await Promise.all(stage.map((part) => part.close()));
    clean &&= closed.every(Boolean);
  }
  return clean;
}

const said = (parts: readonly Part[], say: (part: Part) => string | null): readonly string[] =>
  parts.flatMap((part) => {
    const text = say(part);
    return text === null ? [] : [`${part.name}: ${text}`];
  });
