// The image of the controller, which proxies use too by default.
import type { Installation } from '../inject/installation.js';
import type { Objects } from './objects.js';

export type ProxyImage = Pick<Installation, 'image' | 'imagePullPolicy'>;

/** The name of the controller's container in its pod. */
const CONTAINER = 'controller';
const POLICIES = ['Always', 'IfNotPresent', 'Never'] as const;

interface PodSpec {
  readonly containers?: readonly {
    readonly name?: string;
    readonly image?: string;
    readonly imagePullPolicy?: string;
  }[];
}

/** Rejects with a remedy if it can't be determined. */
export async function ownImage(objects: Pick<Objects, 'get'>, namespace: string, pod: string): Promise<ProxyImage> {
  const found = await objects.get(`/api/v1/namespaces/${namespace}/pods/${pod}`);
  const { containers = [] } = (found?.spec ?? {}) as PodSpec;
  const { image = '', imagePullPolicy = '' } =
    containers.find(({ name }) => name === CONTAINER) ?? (containers.length === 1 ? containers[0] : {});
  if (image === '')
    throw new Error(
      `Pod ${namespace}/${pod} does not say which image proxies are to get (a container ${CONTAINER}); add --proxy-image`,
    );
  return { image, imagePullPolicy: POLICIES.find((known) => known === imagePullPolicy) ?? 'IfNotPresent' };
}
