// Problems of a configuration, for people: `file:line:column: key.path: what is wrong; what to do`.

/** A key of a map is text, an index of a list a number. */
export type KeyPath = readonly (string | number)[];

export interface Problem {
  /** The file as the user named it, or `environment` / `command line` for values from there. */
  readonly file: string;
  /** 1-based; 0 if the problem has no line (an unreadable file, the environment). */
  readonly line: number;
  /** 1-based; 0 like `line`. */
  readonly column: number;
  /** `listeners[0].listen`, the variable or the flag; empty for the whole file. */
  readonly path: string;
  /** What is wrong; what to do. */
  readonly message: string;
}

/** All problems of a configuration. `message` has one line per problem. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = problems;
  }
}

export function formatProblem(problem: Problem): string {
  const place = problem.line > 0 ? `${problem.file}:${problem.line}:${problem.column}` : problem.file;
  return problem.path === '' ? `${place}: ${problem.message}` : `${place}: ${problem.path}: ${problem.message}`;
}

/** `['listeners', 0, 'listen']` as `listeners[0].listen`; keys that contain dots are quoted. */
export function formatPath(path: KeyPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (!/^[\w*-]+$/.test(part)) text += `[${JSON.stringify(part)}]`;
    else text += text === '' ? part : `.${part}`;
  }
  return text;
}
