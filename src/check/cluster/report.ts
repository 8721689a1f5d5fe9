// Reports the checks of a cluster line by line, like `linkerd check`.
import { ApiProblem } from '../../kubernetes/problem.js';

export type Result = 'success' | 'warning' | 'error';

export interface Line {
  readonly description: string;
  readonly result: Result;
  /** The problem; empty: none. */
  readonly error: string;
  /** The remedy. */
  readonly hint: string;
}

export interface Section {
  readonly name: string;
  readonly checks: Line[];
}

/** Thrown by a check. */
export class CheckFailure extends Error {
  constructor(
    readonly result: 'warning' | 'error',
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

export const checkError = (message: string, hint: string): CheckFailure => new CheckFailure('error', message, hint);
export const checkWarning = (message: string, hint: string): CheckFailure => new CheckFailure('warning', message, hint);

const FORBIDDEN = 403;

function failureOf(error: unknown): CheckFailure {
  if (error instanceof CheckFailure) return error;
  const message = error instanceof Error ? error.message : String(error);
  // Missing permission says nothing about the state.
  if (error instanceof ApiProblem && error.status === FORBIDDEN)
    return checkWarning(`it can't be looked at: ${message}`, 'run it as somebody who may read this');
  return checkError(message, '');
}

const MARKS: Readonly<Record<Result, string>> = { success: '√', warning: '‼', error: '×' };

export class Report {
  readonly sections: Section[] = [];

  section(name: string): void {
    this.sections.push({ name, checks: [] });
  }

  /** The result of `look` is appended to the description in parentheses. False if it has thrown an error. */
  async check(description: string, look: () => Promise<string> | string): Promise<boolean> {
    const checks = this.sections.at(-1)?.checks;
    try {
      const detail = await look();
      const text = detail === '' ? description : `${description} (${detail})`;
      checks?.push({ description: text, result: 'success', error: '', hint: '' });
      return true;
    } catch (error) {
      const { result, message, hint } = failureOf(error);
      checks?.push({ description, result, error: message, hint });
      return result !== 'error';
    }
  }

  get success(): boolean {
    return this.sections.every(({ checks }) => checks.every(({ result }) => result !== 'error'));
  }

  toJSON(): object {
    return { success: this.success, categories: this.sections };
  }

  toString(): string {
    const lines = this.sections.flatMap(({ name, checks }) => [
      name,
      '-'.repeat(name.length),
      ...checks.flatMap(({ description, result, error, hint }) => [
        `${MARKS[result]} ${description}`,
        ...(error === '' ? [] : [`    ${error}`]),
        ...(hint === '' ? [] : [`    hint: ${hint}`]),
      ]),
      '',
    ]);
    return [...lines, `Status check results are ${this.success ? MARKS.success : MARKS.error}`].join('\n');
  }
}
