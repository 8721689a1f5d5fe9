// What a check of objects finds: which field of which object, what is wrong with it, and what to do.

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
  /** A hint says what may be missed; nothing is broken by it. */
  readonly severity: 'error' | 'hint';
}

/** Something that is not as the API server would take it. */
export interface ObjectProblem {
  readonly source: string;
  readonly object: string;
  readonly path: string;
  readonly message: string;
}

/** As a line. */
export const problemLine = ({ source, object, path, message }: ObjectProblem): string =>
  [source, object, path, message].filter((part) => part !== '').join(': ');
