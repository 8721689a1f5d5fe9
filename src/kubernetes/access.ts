// Where an API server is and who we are to it: from the pod's own files, which Kubernetes replaces from time to time.
import type { SecureContextOptions } from 'node:tls';
import { fileSignature, readFile } from '../discovery/read-file.js';

/** Certificates and keys, PEM. */
export type TlsParts = Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> & {
  /** The name that the server's certificate must have; absent: that of the URL. */
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
};

export interface ApiAccess {
  readonly server: URL;
  /** As they are now: asked for each connection. May throw. */
  tls(): TlsParts;
  /** The value of `authorization`; null: a certificate says who we are. May throw. */
  authorization(): string | null;
  /** What came of it is refused: it is read again, even where its file looks the same. */
  refused(): void;
}

const MAX_FILE_BYTES = 1 << 20;

/** The text of a file, with the file's name in whatever is wrong with it. */
export function textOf(path: string): string {
  try {
    return readFile(path, MAX_FILE_BYTES).text;
  } catch (error) {
    throw new Error(`${path} ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** A token in a file that is read again when it changes. */
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

/** As a pod is told by its environment and a mounted volume. Throws where this is no pod. */
export function podAccess(env: NodeJS.ProcessEnv = process.env, files: PodFiles = POD_FILES): ApiAccess {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (host === '')
    throw new Error('KUBERNETES_SERVICE_HOST is not set: this is no pod of Kubernetes; name a kubeconfig');
  const token = new TokenFile(files.token);
  return {
    server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    tls: () => ({ ca: textOf(files.authority) }),
    authorization: () => `Bearer ${token.token}`,
    refused: () => token.forget(),
  };
}
