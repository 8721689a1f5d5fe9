// kubectl of today, which knows today's kustomize: built with the control plane (`make kubernetes`), as that of distributions is years old.
import assert from 'node:assert/strict';
import { type Kubernetes, program } from './kubernetes.js';
import { Missing, type Ran, run } from './servers.js';

/** Why there is none; false where there is: for `skip`. */
export function lackingKubectl(): string | false {
  try {
    program('kubectl');
    return false;
  } catch (error) {
    if (error instanceof Missing) return error.message;
    throw error;
  }
}

/** What kubectl makes of a folder with a kustomization, without a cluster. */
export async function kustomize(folder: string): Promise<string> {
  return said('kustomize', await run(program('kubectl'), ['kustomize', folder]));
}

export class Kubectl {
  constructor(private readonly kubernetes: Pick<Kubernetes, 'kubeconfig'>) {}

  /** Runs it, however it ends. */
  run(args: readonly string[], input = ''): Promise<Ran> {
    return run(program('kubectl'), ['--kubeconfig', this.kubernetes.kubeconfig, ...args], input);
  }

  /** What it says; it has to work. */
  async done(args: readonly string[], input = ''): Promise<string> {
    return said(args.join(' '), await this.run(args, input));
  }

  /** Applies a folder with a kustomization: fields that no kind has are errors. */
  apply(folder: string): Promise<string> {
    return this.done(['apply', '--validate=strict', '-k', folder]);
  }
}

function said(what: string, { code, stdout, stderr }: Ran): string {
  assert.equal(code, 0, `kubectl ${what}: ${stderr}${stdout}`);
  return stdout;
}
