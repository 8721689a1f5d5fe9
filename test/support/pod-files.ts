// What a pod's containers find in their environment and in their volumes.
import { chmodSync, chownSync, existsSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Mount } from './pod-container.js';
import {
  type ContainerSpec,
  type CsiVolume,
  type EnvVar,
  expand,
  fieldOf,
  type Place,
  type Pod,
  type ProjectedSource,
  resourceOf,
  type Volume,
} from './pod-objects.js';

type Texts = Readonly<Record<string, string>>;

/** What a kubelet asks the API server for. */
export interface Objects {
  /** Data of a ConfigMap or, decoded, of a Secret; null where there is none. */
  data(kind: 'configmaps' | 'secrets', namespace: string, name: string): Promise<Texts | null>;
  token(pod: Pod, audience: string | null, seconds: number): Promise<string>;
  /** Files of a volume that a driver provides, from the time that the pod has it; `write` replaces all of them at once. */
  csi?(volume: CsiVolume, pod: Pod, write: (files: Texts) => void): Promise<void>;
  /** Variables that each container of a namespace has. */
  serviceLinks(namespace: string): Promise<Texts>;
}

async function wanted(objects: Objects, kind: 'configmaps' | 'secrets', pod: Pod, name: string): Promise<Texts> {
  const found = await objects.data(kind, pod.metadata.namespace, name);
  if (found === null) throw new Error(`${kind} ${name} not found`);
  return found;
}

async function variableOf(entry: EnvVar, container: ContainerSpec, pod: Pod, place: Place, objects: Objects) {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = entry.valueFrom ?? {};
  if (fieldRef !== undefined) return fieldOf(pod, place, fieldRef.fieldPath);
  if (resourceFieldRef !== undefined)
    return resourceOf(
      container,
      resourceFieldRef.resource,
      resourceFieldRef.divisor === '0' ? '1' : resourceFieldRef.divisor,
    );
  const key = configMapKeyRef ?? secretKeyRef;
  if (key === undefined) return undefined;
  const kind = configMapKeyRef === undefined ? 'secrets' : 'configmaps';
  const data = await objects.data(kind, pod.metadata.namespace, key.name);
  if (data?.[key.key] === undefined && key.optional !== true)
    throw new Error(`${kind} ${key.name} has no key ${key.key}`);
  return data?.[key.key];
}

/** The environment of a container. */
export async function environmentOf(
  container: ContainerSpec,
  pod: Pod,
  place: Place,
  objects: Objects,
): Promise<Texts> {
  const links = pod.spec.enableServiceLinks === false ? {} : await objects.serviceLinks(pod.metadata.namespace);
  const known = new Map<string, string>([['HOSTNAME', pod.metadata.name], ...Object.entries(links)]);
  for (const { prefix = '', configMapRef } of container.envFrom ?? [])
    if (configMapRef !== undefined)
      for (const [key, value] of Object.entries(await wanted(objects, 'configmaps', pod, configMapRef.name)))
        known.set(prefix + key, value);
  for (const entry of container.env ?? []) {
    const value =
      entry.valueFrom === undefined
        ? expand(entry.value ?? '', known)
        : await variableOf(entry, container, pod, place, objects);
    if (value !== undefined) known.set(entry.name, value);
  }
  return Object.fromEntries(known);
}

const TOKEN_SECONDS = 3600;

async function sourceFiles(source: ProjectedSource, pod: Pod, place: Place, objects: Objects): Promise<Texts> {
  const { serviceAccountToken: token, downwardAPI } = source;
  if (token !== undefined)
    return { [token.path]: await objects.token(pod, token.audience ?? null, token.expirationSeconds ?? TOKEN_SECONDS) };
  if (downwardAPI !== undefined)
    return Object.fromEntries(
      (downwardAPI.items ?? []).map(({ path, fieldRef }) => [
        path,
        fieldRef === undefined ? '' : fieldOf(pod, place, fieldRef.fieldPath),
      ]),
    );
  const named = source.configMap ?? source.secret;
  if (named === undefined) throw new Error(`the tests' kubelet knows no source ${Object.keys(source)}`);
  const kind = source.configMap === undefined ? 'secrets' : 'configmaps';
  const data = await objects.data(kind, pod.metadata.namespace, named.name);
  if (data === null && named.optional !== true) throw new Error(`${kind} ${named.name} not found`);
  if (named.items === undefined) return data ?? {};
  return Object.fromEntries(named.items.map(({ key, path }) => [path, data?.[key] ?? '']));
}

function sourcesOf(volume: Volume): readonly ProjectedSource[] {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (projected !== undefined) return projected.sources ?? [];
  if (configMap !== undefined) return [{ configMap }];
  if (secret !== undefined) return [{ secret: { ...secret, name: secret.secretName } }];
  if (downwardAPI !== undefined) return [{ downwardAPI }];
  throw new Error(`the tests' kubelet knows no volume like ${volume.name} (${Object.keys(volume).join(', ')})`);
}

let versions = 0;

/** As drivers write them: links lead to a folder by way of another link, which is replaced. Its group may read them. */
function replaceFiles(folder: string, files: Texts, attributes: Texts = {}): void {
  const group = Number(Object.entries(attributes).find(([key]) => key.endsWith('/fs-group'))?.[1] ?? 0);
  const version = `..${++versions}`;
  mkdirSync(join(folder, version));
  chmodSync(join(folder, version), 0o755);
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(folder, version, name), text, { mode: 0o640 });
    chownSync(join(folder, version, name), 0, group);
    if (!existsSync(join(folder, name))) symlinkSync(join('..data', name), join(folder, name));
  }
  symlinkSync(version, join(folder, '..data.new'));
  renameSync(join(folder, '..data.new'), join(folder, '..data'));
}

/** Makes the volumes of a pod below `directory`; gives the folder of each. */
export async function makeVolumes(
  pod: Pod,
  place: Place,
  objects: Objects,
  directory: string,
): Promise<ReadonlyMap<string, string>> {
  const folders = new Map<string, string>();
  for (const volume of pod.spec.volumes ?? []) {
    const folder = volume.hostPath?.path ?? join(directory, 'volumes', volume.name);
    folders.set(volume.name, folder);
    // As Kubernetes has it: who runs as another user may write there.
    if (volume.hostPath === undefined) mkdirSync(folder, { recursive: true });
    if (volume.emptyDir !== undefined) chmodSync(folder, 0o777);
    if (volume.emptyDir !== undefined || volume.hostPath !== undefined) continue;
    if (volume.csi !== undefined) {
      if (objects.csi === undefined) throw new Error(`no driver ${volume.csi.driver}`);
      await objects.csi(volume.csi, pod, (files) => replaceFiles(folder, files, volume.csi?.volumeAttributes));
      continue;
    }
    for (const source of sourcesOf(volume))
      for (const [path, text] of Object.entries(await sourceFiles(source, pod, place, objects))) {
        mkdirSync(dirname(join(folder, path)), { recursive: true });
        writeFileSync(join(folder, path), text);
      }
  }
  return folders;
}

export function mountsOf(container: ContainerSpec, pod: Pod, folders: ReadonlyMap<string, string>): Mount[] {
  return (container.volumeMounts ?? []).map(({ name, mountPath, subPath = '', readOnly }) => {
    const folder = folders.get(name);
    if (folder === undefined) throw new Error(`there is no volume ${name}`);
    const volume = pod.spec.volumes?.find((one) => one.name === name);
    const writable = volume?.emptyDir !== undefined || volume?.hostPath !== undefined;
    return { from: join(folder, subPath), to: mountPath, readOnly: readOnly === true || !writable };
  });
}
