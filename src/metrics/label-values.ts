// Limits the values of a label: first come, first served; all later ones share one value.
import { OTHER_IDENTITIES } from './client-series.js';

export class LabelValues {
  private readonly known = new Set<string>();

  constructor(private readonly most: number) {}

  /** `name`, or the shared value if there are too many. */
  of(name: string): string {
    if (this.known.has(name)) return name;
    if (this.known.size >= this.most) return OTHER_IDENTITIES;
    this.known.add(name);
    return name;
  }
}
