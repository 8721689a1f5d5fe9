// A finding about an object: the field, the problem, and the remedy.

export interface ObjectFinding {
  /** `NetworkPolicy shop/web`. */
  readonly object: string;
  /** Where it was read: a file, or the cluster. */
  readonly source: string;
  /** `spec.ingress[0].ports`. */
  readonly path: string;
  readonly message: string;
  /** What to add; empty: nothing. */
  readonly add: string;
  /** A hint names what may have been overlooked; nothing is broken by it. */
  readonly severity: 'error' | 'hint';
}

/** Something that the API server would not accept. */
export interface ObjectProblem {
  readonly source: string;
  readonly object: string;
  readonly path: string;
  readonly message: string;
}

/** As one line. */
export const problemLine = ({ source, object, path, message }: ObjectProblem): string =>
  [source, object, path, message].filter((part) => part !== '').join(': ');
