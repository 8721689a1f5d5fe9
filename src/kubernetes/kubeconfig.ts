// Kubeconfigs that need no other program: tokens and certificates, inline or in files.
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { type ApiAccess, type TlsParts, TokenFile, textOf } from './access.js';
import { isObject, type JsonObject, objectIn, objectsIn, textIn } from './json.js';

interface Part {
  readonly value: JsonObject;
  /** Its own file: relative paths start there. */
  readonly file: string;
}

/** Authentication methods of kubeconfigs that this client does not support. */
const REFUSED: Readonly<Record<string, string>> = {
  exec: 'gets its credentials from another program',
  'auth-provider': 'gets its credentials from a provider',
  username: 'has a user name and a password, which API servers no longer take',
  as: 'acts as somebody else',
};

/** The files that kubectl would read. */
export function kubeconfigFiles(env: NodeJS.ProcessEnv = process.env): readonly string[] {
  const named = (env.KUBECONFIG ?? '').split(':').filter((path) => path !== '');
  return named.length > 0 ? named : [join(env.HOME ?? homedir(), '.kube', 'config')];
}

function read(file: string): JsonObject {
  const text = textOf(file);
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 100 });
  } catch (error) {
    throw new Error(`${file} is not valid YAML: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  if (!isObject(value)) throw new Error(`${file} is not a kubeconfig`);
  return value;
}

/** Of several entries with the same name the first counts, as in kubectl. */
function named(documents: readonly Part[], list: string, kind: string, name: string): Part {
  for (const { value, file } of documents) {
    const found = objectsIn(value, list).find((each) => textIn(each, 'name') === name);
    if (found !== undefined) return { value: objectIn(found, kind), file };
  }
  const files = documents.map(({ file }) => file).join(', ');
  throw new Error(`${files}: there is no ${kind} ${JSON.stringify(name)}`);
}

/** Text in a field `X-data` as base64, or in the file that the field `X` names; absent if neither exists. */
function pem({ value, file }: Part, field: string): (() => string) | null {
  const data = textIn(value, `${field}-data`);
  if (data !== '') return () => Buffer.from(data, 'base64').toString('latin1');
  const path = textIn(value, field);
  return path === '' ? null : () => textOf(resolve(dirname(file), path));
}

function serverOf({ value, file }: Part, name: string): URL {
  if (textIn(value, 'proxy-url') !== '')
    throw new Error(`${file}: cluster ${JSON.stringify(name)} is behind a proxy (proxy-url), which is not supported`);
  const server = textIn(value, 'server');
  try {
    const url = new URL(server);
    if (url.protocol === 'https:' || url.protocol === 'http:') return url;
  } catch {
    // Reported below.
  }
  throw new Error(
    `${file}: cluster ${JSON.stringify(name)} has ${JSON.stringify(server)} as its server, which is not a URL`,
  );
}

function authorizationOf({ value, file }: Part): { authorization: () => string | null; refused: () => void } {
  const path = textIn(value, 'tokenFile');
  if (path !== '') {
    const token = new TokenFile(resolve(dirname(file), path));
    return { authorization: () => `Bearer ${token.token}`, refused: () => token.forget() };
  }
  const token = textIn(value, 'token');
  return { authorization: () => (token === '' ? null : `Bearer ${token}`), refused: () => undefined };
}

/** Access with the context `context`, or the current one. Throws the problem, with the file's name. */
export function kubeconfigAccess(files: readonly string[], context?: string): ApiAccess {
  const documents = files.map((file) => ({ value: read(file), file }));
  const current = context ?? documents.map(({ value }) => textIn(value, 'current-context')).find((name) => name !== '');
  if (current === undefined) throw new Error(`${files.join(', ')}: there is no current context`);
  const { value: chosen } = named(documents, 'contexts', 'context', current);
  const clusterName = textIn(chosen, 'cluster');
  const userName = textIn(chosen, 'user');
  const cluster = named(documents, 'clusters', 'cluster', clusterName);
  const user = userName === '' ? { value: {}, file: cluster.file } : named(documents, 'users', 'user', userName);
  for (const [field, does] of Object.entries(REFUSED)) {
    if (user.value[field] !== undefined && user.value[field] !== null)
      throw new Error(`${user.file}: user ${JSON.stringify(userName)} ${does} (${field}), which is not supported`);
  }
  const authority = pem(cluster, 'certificate-authority');
  const certificate = pem(user, 'client-certificate');
  const key = pem(user, 'client-key');
  const servername = textIn(cluster.value, 'tls-server-name');
  return {
    server: serverOf(cluster, clusterName),
    tls: (): TlsParts => ({
      ...(authority === null ? {} : { ca: authority() }),
      ...(certificate === null || key === null ? {} : { cert: certificate(), key: key() }),
      ...(servername === '' ? {} : { servername }),
      ...(cluster.value['insecure-skip-tls-verify'] === true ? { rejectUnauthorized: false } : {}),
    }),
    ...authorizationOf(user),
  };
}
