// Label selectors: what they select, and which one includes another.
import type { Reading } from './reading.js';

const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;
type Operator = (typeof OPERATORS)[number];

interface Requirement {
  readonly key: string;
  readonly operator: Operator;
  readonly values: readonly string[];
}

/** All of these must hold; an empty list selects everything. */
export type Selector = readonly Requirement[];

export type Labels = Readonly<Record<string, string>>;

const isOperator = (value: unknown): value is Operator => OPERATORS.some((known) => known === value);

function labelValue(reading: Reading, value: unknown, path: string): string {
  if (typeof value !== 'string') reading.wrong(path, `${JSON.stringify(value)} is not a string; put it in quotes`);
  return String(value);
}

/** `{ matchLabels, matchExpressions }`. */
export function readSelector(reading: Reading, value: unknown, path: string): Selector {
  const map = reading.map(value, path);
  const requirements: Requirement[] = [];
  for (const [key, label] of Object.entries(reading.map(map.matchLabels, `${path}.matchLabels`)))
    requirements.push({
      key,
      operator: 'In',
      values: [labelValue(reading, label, `${path}.matchLabels[${JSON.stringify(key)}]`)],
    });
  reading.list(map.matchExpressions, `${path}.matchExpressions`).forEach((entry, i) => {
    const at = `${path}.matchExpressions[${i}]`;
    const { key, operator, values } = reading.map(entry, at);
    if (typeof key !== 'string' || key === '') reading.wrong(`${at}.key`, 'names no label');
    else if (!isOperator(operator))
      reading.wrong(`${at}.operator`, `${JSON.stringify(operator)} is none of ${OPERATORS.join(', ')}`);
    else
      requirements.push({
        key,
        operator,
        values: reading.list(values, `${at}.values`).map((it, n) => labelValue(reading, it, `${at}.values[${n}]`)),
      });
  });
  return requirements;
}

function holds({ key, operator, values }: Requirement, labels: Labels): boolean {
  const label = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return label !== undefined && values.includes(label);
    case 'NotIn':
      return label === undefined || !values.includes(label);
    case 'Exists':
      return label !== undefined;
    case 'DoesNotExist':
      return label === undefined;
  }
}

export const selects = (selector: Selector, labels: Labels): boolean => selector.every((it) => holds(it, labels));

/** Whether `wide` holds wherever `narrow` does. */
function follows(wide: Requirement, narrow: Requirement): boolean {
  if (wide.key !== narrow.key) return false;
  const { operator, values } = narrow;
  switch (wide.operator) {
    case 'In':
      return operator === 'In' && values.every((value) => wide.values.includes(value));
    case 'NotIn':
      if (operator === 'NotIn') return wide.values.every((value) => values.includes(value));
      if (operator === 'In') return !values.some((value) => wide.values.includes(value));
      return operator === 'DoesNotExist';
    case 'Exists':
      return operator === 'Exists' || operator === 'In';
    case 'DoesNotExist':
      return operator === 'DoesNotExist';
  }
}

/** Whether `wide` selects everything that `narrow` selects, judging by the selectors alone. */
export const covers = (wide: Selector, narrow: Selector): boolean =>
  wide.every((requirement) => narrow.some((other) => follows(requirement, other)));
