// The problem with a certificate, a key or a bundle: the file, and the reason with a remedy. It never contains any part of a key.

/** A certificate, a key or a bundle as received, and its source: the path of a file, or another name. */
export interface Part {
  readonly file: string;
  readonly bytes: Uint8Array;
}

export class CredentialProblem extends Error {
  override readonly name = 'CredentialProblem';

  constructor(
    readonly file: string,
    readonly reason: string,
  ) {
    super(`${file}: ${reason}`);
  }
}

/** Calls `read`; a text in place of a result is the problem with `file`. */
export function orProblem<T extends object>(file: string, result: T | string): T {
  if (typeof result === 'string') throw new CredentialProblem(file, result);
  return result;
}
