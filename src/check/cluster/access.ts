// Locates the API server: like kubectl or, in a pod, from the pod's environment.
import { existsSync } from 'node:fs';
import { type ApiAccess, podAccess } from '../../kubernetes/access.js';
import { kubeconfigAccess, kubeconfigFiles } from '../../kubernetes/kubeconfig.js';

export interface AccessOptions {
  /** Null: from the environment. */
  readonly kubeconfig: string | null;
  readonly context: string | null;
}

/** Throws the problem, with the file's name. */
export function findAccess({ kubeconfig, context }: AccessOptions, env: NodeJS.ProcessEnv): ApiAccess {
  if (kubeconfig !== null) return kubeconfigAccess([kubeconfig], context ?? undefined);
  const files = kubeconfigFiles(env);
  const there = files.filter((file) => existsSync(file));
  if (there.length === 0 && (env.KUBERNETES_SERVICE_HOST ?? '') !== '') return podAccess(env);
  return kubeconfigAccess(there.length === 0 ? files : there, context ?? undefined);
}
