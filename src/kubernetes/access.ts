// Location of an API server and our credentials: from the pod's own files, which Kubernetes replaces from time to time.
import type { SecureContextOptions } from 'node:tls';
import { fileSignature, readFile } from '../discovery/read-file.js';

/** Certificates and keys, PEM. */
export type TlsParts = Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> & {
  /** The name that the server's certificate must have; absent: the URL's. */
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
};

export interface ApiAccess {
  readonly server: URL;
  /** Current values: called for each connection. May throw. */
  tls(): TlsParts;
  /** Value of `authorization`; null: a certificate authenticates us. May throw. */
  authorization(): string | null;
  /** The credentials were refused: they are read again, even if the file looks unchanged. */
  refused(): void;
}

const MAX_FILE_BYTES = 1 << 20;

/** The text of a file; errors contain the file's name. */
export function textOf(path: string): string {
  try {
    return readFile(path, MAX_FILE_BYTES).text;
  } catch (error) {
    throw new Error(`${path} ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** A token in a file, read again when that changes. */
export class TokenFile {
  #signature = '';
  #token = '';

  constructor(private readonly path: string) {}

  get token(): string {
    const signature = fileSignature(this.path);
    if (signature !== this.#signature || this.#token === '') {
      const token = textOf(this.path).trim();
      if (!/^[\x21-\x7e]+$/.test(token)) throw new Error(`${this.path} has no token in it`);
      this.#token = token;
      this.#signature = signature;
    }
    return this.#token;
  }

  forget(): void {
    this.#signature = '';
  }
}

const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface PodFiles {
  readonly token: string;
  readonly authority: string;
}

export const POD_FILES: PodFiles = { token: `${FOLDER}/token`, authority: `${FOLDER}/ca.crt` };

/** From a pod's environment and mounted volume. Throws outside a pod. */
export function podAccess(env: NodeJS.ProcessEnv = process.env, files: PodFiles = POD_FILES): ApiAccess {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (host === '')
    throw new Error('KUBERNETES_SERVICE_HOST is not set: this is not running in a pod; name a kubeconfig');
  const token = new TokenFile(files.token);
  return {
    server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    tls: () => ({ ca: textOf(files.authority) }),
    authorization: () => `Bearer ${token.token}`,
    refused: () => token.forget(),
  };
}
