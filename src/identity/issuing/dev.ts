// Creates everything for trying out mutual TLS: a root, an issuer below it, and leaves, as files in one directory.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceAccount } from '../names.js';
import { accountName, accountSpiffe } from '../names.js';
import { Authority } from './authority.js';
import type { KeyKind } from './keys.js';
import { keyPem, makeKeys, publicKeyDer } from './keys.js';

/** A leaf: for an account of the mesh, or for a server's plain name. */
export type DevName = { readonly account: ServiceAccount } | { readonly server: string };

export interface DevOptions {
  readonly directory: string;
  readonly names: readonly DevName[];
  readonly keys: KeyKind;
  /** Of leaves; the authorities are valid for longer. */
  readonly lifetimeMs: number;
  readonly nowMs: number;
}

interface DevFile {
  readonly name: string;
  readonly text: string;
  /** Readable only by its owner. */
  readonly secret?: boolean;
}

export interface DevLeaf {
  /** Base name of its files: `.pem`, `-key.pem`, and `.token` for an account. */
  readonly file: string;
  readonly names: readonly string[];
  readonly account: ServiceAccount | null;
}

const DAY_MS = 86_400_000;
const ROOT_LIFETIME_MS = 10 * 365 * DAY_MS;
/** For clocks that are slow. */
const SKEW_MS = 60_000;

const fileOf = (name: DevName): string =>
  'account' in name ? `${name.account.account}.${name.account.namespace}` : name.server.replace('*', '_');

const describe = (name: DevName): DevLeaf => {
  if ('server' in name) return { file: fileOf(name), names: [name.server], account: null };
  const { account } = name;
  return { file: fileOf(name), names: [accountName(account), accountSpiffe(account)], account };
};

/** Creates everything, then writes it. Throws if a file already exists, and leaves that unchanged. */
export async function makeDevFiles(options: DevOptions): Promise<readonly DevLeaf[]> {
  const { directory } = options;
  const leaves = options.names.map(describe);
  refuseToOverwrite(directory, leaves);
  const files = await filesOf(options, leaves);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const written: string[] = [];
  try {
    for (const { name, text, secret } of files) {
      const path = join(directory, name);
      // `wx`: fails if somebody has created it since.
      writeFileSync(path, text, { flag: 'wx', mode: secret === true ? 0o600 : 0o644 });
      written.push(path);
    }
  } catch (error) {
    for (const path of written) unlinkSync(path);
    throw error;
  }
  return leaves;
}

function refuseToOverwrite(directory: string, leaves: readonly DevLeaf[]): void {
  const names = [
    'anchors',
    'anchors-key',
    'issuer',
    'issuer-key',
    ...leaves.flatMap(({ file }) => [file, `${file}-key`]),
  ];
  const existing = [...names.map((name) => `${name}.pem`), 'tokens', ...leaves.map(({ file }) => `${file}.token`)].find(
    (name) => existsSync(join(directory, name)),
  );
  if (existing !== undefined)
    throw new Error(
      `${join(directory, existing)} exists already and is not overwritten; name another directory, or remove it`,
    );
}

async function filesOf({ keys, lifetimeMs, nowMs }: DevOptions, leaves: readonly DevLeaf[]): Promise<DevFile[]> {
  const notBefore = new Date(nowMs - SKEW_MS);
  const lifetime = { notBefore, notAfter: new Date(nowMs + Math.max(ROOT_LIFETIME_MS, lifetimeMs)), keys };
  const root = await Authority.root({ name: 'Sluice development root', ...lifetime });
  const issuer = await root.authority.subordinate({ name: 'Sluice development issuer', ...lifetime });
  const files: DevFile[] = [
    { name: 'anchors.pem', text: root.authority.pem },
    { name: 'anchors-key.pem', text: root.key, secret: true },
    { name: 'issuer.pem', text: issuer.authority.pem },
    { name: 'issuer-key.pem', text: issuer.key, secret: true },
  ];
  const tokens: string[] = [];
  for (const { file, names, account } of leaves) {
    const pair = await makeKeys(keys);
    const leaf = await issuer.authority.issue({
      publicKey: await publicKeyDer(pair.publicKey),
      dns: names.filter((name) => !name.startsWith('spiffe:')),
      uris: names.filter((name) => name.startsWith('spiffe:')),
      notBefore,
      notAfter: new Date(nowMs + lifetimeMs),
    });
    files.push({ name: `${file}.pem`, text: String(leaf.certificate) + issuer.authority.intermediates.join('') });
    files.push({ name: `${file}-key.pem`, text: await keyPem(pair.privateKey), secret: true });
    if (account === null) continue;
    const token = randomBytes(24).toString('base64url');
    files.push({ name: `${file}.token`, text: `${token}\n`, secret: true });
    tokens.push(`${token} ${account.namespace}/${account.account}`);
  }
  if (tokens.length > 0) files.push({ name: 'tokens', text: `${TOKENS_HEAD}${tokens.join('\n')}\n`, secret: true });
  return files;
}

const TOKENS_HEAD = '# Whose token is whose, for `sluice identity serve --tokens`.\n';
