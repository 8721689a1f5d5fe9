// Who shows that a caller is an account: a file of tokens, or Kubernetes (token-review.ts).
import { createHash } from 'node:crypto';
import { readFile } from '../../discovery/read-file.js';
import { Refusal } from './refusal.js';

export interface TokenAccount {
  readonly namespace: string;
  readonly account: string;
}

export interface Authenticator {
  /** The account that a token is of; rejects with a Refusal. */
  authenticate(token: string): Promise<TokenAccount>;
  /** What is wrong with it at present; null: nothing that is known. */
  readonly problem: string | null;
}

const MAX_FILE_BYTES = 1 << 20;
const LINE = /^(\S+)[ \t]+([a-z0-9][a-z0-9-]*)\/([a-z0-9][a-z0-9.-]*)$/;

/** Lines of `TOKEN NAMESPACE/ACCOUNT`; empty ones and those that begin with # mean nothing. By the token's hash. */
export function parseTokens(text: string): ReadonlyMap<string, TokenAccount> {
  const accounts = new Map<string, TokenAccount>();
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const match = LINE.exec(line);
    // The line itself is a secret.
    if (match === null) throw new Error(`line ${index + 1} is not TOKEN NAMESPACE/ACCOUNT`);
    accounts.set(hash(match[1]), { namespace: match[2], account: match[3] });
  }
  return accounts;
}

/** Looked up by hash: how long it takes says nothing of how much of a token was right. */
const hash = (token: string): string => createHash('sha256').update(token).digest('base64');

export class TokenFile implements Authenticator {
  #accounts: ReadonlyMap<string, TokenAccount>;
  problem: string | null = null;

  /** Throws where the file isn't right. */
  constructor(readonly path: string) {
    this.#accounts = this.#read();
  }

  /** After a change; a file with a mistake leaves the tokens of before. */
  reload(): void {
    try {
      this.#accounts = this.#read();
      this.problem = null;
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
    }
  }

  async authenticate(token: string): Promise<TokenAccount> {
    const account = this.#accounts.get(hash(token));
    if (account === undefined) throw new Refusal('bad-token', 'nobody knows the token');
    return account;
  }

  #read(): ReadonlyMap<string, TokenAccount> {
    try {
      return parseTokens(readFile(this.path, MAX_FILE_BYTES).text);
    } catch (error) {
      throw new Error(`${this.path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }
}
