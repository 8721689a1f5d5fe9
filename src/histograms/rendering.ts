// The interface of an output format, for one recording after another.
import type { Recording } from './recording.js';

export interface Rendering {
  /** The output for the next recording. */
  next(recording: Recording): string | Promise<string>;
  /** False: not everything arrived at its destination. */
  end(): Promise<boolean>;
}
