// What is wrong with a certificate, a key or a bundle: the file, and the reason with what to do about it. Never anything of a key.

/** A certificate, a key or a bundle as it came, and where from: the path of a file, or the name of another source. */
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

/** Calls `read`; what it says in place of a result is what is wrong with `file`. */
export function orProblem<T extends object>(file: string, result: T | string): T {
  if (typeof result === 'string') throw new CredentialProblem(file, result);
  return result;
}
