// Authenticates callers as accounts: by a file of tokens, or through Kubernetes (token-review.ts).
import { createHash } from 'node:crypto';
import { readFile } from '../../discovery/read-file.js';
import { Refusal } from './refusal.js';

export interface TokenAccount {
  readonly namespace: string;
  readonly account: string;
}

export interface Authenticator {
  /** The token's account; rejects with a Refusal. */
  authenticate(token: string): Promise<TokenAccount>;
  /** The current problem; null: none known. */
  readonly problem: string | null;
}

const MAX_FILE_BYTES = 1 << 20;
const LINE = /^(\S+)[ \t]+([a-z0-9][a-z0-9-]*)\/([a-z0-9][a-z0-9.-]*)$/;

/** Lines of `TOKEN NAMESPACE/ACCOUNT`; empty lines and those that begin with # are ignored. By the token's hash. */
export function parseTokens(text: string): ReadonlyMap<string, TokenAccount> {
  const accounts = new Map<string, TokenAccount>();
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const match = LINE.exec(line);
    // The line itself is secret.
    if (match === null) throw new Error(`line ${index + 1} is not TOKEN NAMESPACE/ACCOUNT`);
    accounts.set(hash(match[1]), { namespace: match[2], account: match[3] });
  }
  return accounts;
}

/** Looked up by hash, so that timing does not reveal how much of a token was right. */
const hash = (token: string): string => createHash('sha256').update(token).digest('base64');

export class TokenFile implements Authenticator {
  #accounts: ReadonlyMap<string, TokenAccount>;
  problem: string | null = null;

  /** Throws if the file is invalid. */
  constructor(readonly path: string) {
    this.#accounts = this.#read();
  }

  /** After a change; an invalid file leaves the previous tokens in use. */
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
    if (account === undefined) throw new Refusal('bad-token', 'the token is unknown');
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
