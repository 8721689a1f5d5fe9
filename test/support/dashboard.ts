// What the dashboard of k8s/ asks Prometheus for.
import { page } from '../docs/fences.js';

/** Each expression of it. */
export function dashboardExpressions(): string[] {
  const dashboard = JSON.parse(page('k8s/components/monitoring/sluice.json')) as {
    panels: { targets?: { expr: string }[] }[];
  };
  return dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
}

export interface DashboardSeries {
  readonly name: string;
  /** By which it is chosen, or summed up; without those that Prometheus adds. */
  readonly labels: readonly string[];
}

const ADDED = ['job', 'namespace', 'pod'];

/** The series of an expression. */
export function seriesIn(expression: string): DashboardSeries[] {
  const summed = [...expression.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list]) => list.split(/,\s*/));
  return [...expression.matchAll(/\b([a-z]\w+)\{([^}]*)\}/g)].map(([, name, matchers]) => {
    const chosen = [...matchers.matchAll(/(\w+)(?:=~|!~|!=|=)"/g)].map(([, label]) => label);
    return { name, labels: [...new Set([...summed, ...chosen])].filter((label) => !ADDED.includes(label)) };
  });
}
