// How recordings are shown, one look after the other.
import type { Recording } from './recording.js';

export interface Rendering {
  /** What is written of the next recording. */
  next(recording: Recording): string | Promise<string>;
  /** False: not all of it has come where it was to go. */
  end(): Promise<boolean>;
}
