// Where the API server is that is asked: as kubectl finds it, or, in a pod, as the pod is told.
import { existsSync } from 'node:fs';
import { type ApiAccess, podAccess } from '../../kubernetes/access.js';
import { kubeconfigAccess, kubeconfigFiles } from '../../kubernetes/kubeconfig.js';

export interface AccessOptions {
  /** Null: as the environment says. */
  readonly kubeconfig: string | null;
  readonly context: string | null;
}

/** Throws what is wrong, with the file's name. */
export function findAccess({ kubeconfig, context }: AccessOptions, env: NodeJS.ProcessEnv): ApiAccess {
  if (kubeconfig !== null) return kubeconfigAccess([kubeconfig], context ?? undefined);
  const files = kubeconfigFiles(env);
  const there = files.filter((file) => existsSync(file));
  if (there.length === 0 && (env.KUBERNETES_SERVICE_HOST ?? '') !== '') return podAccess(env);
  return kubeconfigAccess(there.length === 0 ? files : there, context ?? undefined);
}
