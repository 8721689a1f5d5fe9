// Values of a label, of which there may be only so many: first come, first served, and all later ones are one.
import { OTHER_IDENTITIES } from './client-series.js';

export class LabelValues {
  private readonly known = new Set<string>();

  constructor(private readonly most: number) {}

  /** `name`, or what stands for all that are too many. */
  of(name: string): string {
    if (this.known.has(name)) return name;
    if (this.known.size >= this.most) return OTHER_IDENTITIES;
    this.known.add(name);
    return name;
  }
}
