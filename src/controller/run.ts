// The life of a controller: starts its components in stages, reports whether it is ready, and on a signal shuts down in order.
import type { Registry } from 'prom-client';
import type { Address } from '../config/model.js';
import { IssuingAdmin } from '../identity/issuing/admin.js';
import type { Logger } from '../log/logger.js';
import type { Component } from './component.js';

export interface ControllerOptions {
  readonly admin: Address;
  /** Components of a stage start together, after the previous stage. They stop in the opposite order. */
  readonly stages: readonly (readonly Component[])[];
  readonly registry: Registry;
}

type Signals = Pick<NodeJS.Process, 'on'>;

const ENDING = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

/** Runs until told to stop; returns the exit code: 0 if nothing had to be cut off. Rejects if a component can't start. */
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
  // The first signal stops it, the second one at once. They may come during the start.
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

/** null when all have started; else the signal that came first. */
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

/** Rejects if one can't start, once the others of its stage have: only started components can be stopped. */
async function beginAll(stage: readonly Component[]): Promise<null> {
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

const said = (parts: readonly Component[], say: (part: Component) => string | null): readonly string[] =>
  parts.flatMap((part) => {
    const text = say(part);
    return text === null ? [] : [`${part.name}: ${text}`];
  });
