// Describes a load plan and a machine in words.
import type { Environment, HarnessResult, ScenarioResult } from '../harness/results.js';
import type { Pace } from '../load/plan.js';
import { count, memory } from './scale.js';

const paceText = (pace: Pace): string => {
  switch (pace.kind) {
    case 'closed':
      return pace.thinkMs > 0 ? `closed loop, ${pace.thinkMs} ms think time` : 'closed loop';
    case 'constant':
      return `${count(pace.rate)} a second`;
    case 'poisson':
      return `${count(pace.rate)} a second, at random moments (Poisson)`;
    case 'steps':
      return pace.steps.map(({ rate, seconds }) => `${count(rate)}/s for ${seconds} s`).join(', ');
  }
};

/** Whether a rate was searched for: then there are curves in place of samples, and the pace of the plan says nothing. */
export const isSearch = ({ subjects }: ScenarioResult): boolean =>
  subjects.some(({ curve }) => curve.length > 0) && subjects.every(({ samples }) => samples.length === 0);

/** For example `http1, 64 connections, closed loop, 10 s`. */
export function planText(scenario: ScenarioResult): string {
  const { plan } = scenario;
  const streams = plan.streams > 1 ? ` × ${plan.streams} streams` : '';
  const parts = [
    plan.protocol,
    plan.tls === null ? '' : plan.tls.certificate === null ? 'TLS' : 'mutual TLS',
    `${plan.connections} connection${plan.connections === 1 ? '' : 's'}${streams}`,
    isSearch(scenario) ? 'each rate by itself' : paceText(plan.pace),
    plan.bodyBytes > 0 ? `${plan.bodyBytes} octets each` : '',
    plan.keepAlive ? '' : 'a connection for each request',
    `${plan.seconds} s, after ${plan.warmupSeconds} s of warm-up`,
  ];
  return parts.filter((part) => part !== '').join(', ');
}

export const environmentLines = (of: Environment): (readonly [string, string])[] => [
  ['processor', `${of.cpu}, ${of.cores} cores, ${of.architecture}`],
  ['memory', memory(of.memoryBytes)],
  ['kernel', of.kernel],
  ['Node.js', of.node],
  ['Sluice', of.sluice],
];

export const runText = ({ startedAt, rounds, interrupted }: HarnessResult): string =>
  `Measured ${startedAt.replace('T', ' ').replace(/\.\d+Z$/, ' UTC')}, ${rounds} interleaved round${rounds === 1 ? '' : 's'}.${
    interrupted ? ' The run was ended early: what had been measured until then is here.' : ''
  }`;
