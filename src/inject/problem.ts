// A problem with an annotation. Traffic flows without it, and it is reported.

export interface InjectProblem {
  /** The object with the annotation: `pod`, `namespace shop`, `the installation`. */
  readonly object: string;
  /** Its whole key. */
  readonly annotation: string;
  /** The part in question: an entry of a list, or everything. */
  readonly entry: string;
  readonly message: string;
  /** An error, or something that merely has no effect here. */
  readonly severity: 'warning' | 'note';
}

/** As one sentence. */
export const problemText = ({ object, annotation, message }: InjectProblem): string =>
  `${annotation} of ${object}: ${message}`;
