// What is wrong with an annotation. Traffic flows on without it, and somebody is told.

export interface InjectProblem {
  /** Who has the annotation: `pod`, `namespace shop`, `the installation`. */
  readonly object: string;
  /** Its whole key. */
  readonly annotation: string;
  /** What in it is meant: an entry of a list, or all of it. */
  readonly entry: string;
  readonly message: string;
  /** A mistake, or just something that means nothing here. */
  readonly severity: 'warning' | 'note';
}

/** As one sentence. */
export const problemText = ({ object, annotation, message }: InjectProblem): string =>
  `${annotation} of ${object}: ${message}`;
