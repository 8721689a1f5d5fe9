// A long, sparse column of references. V8 would write a whole array of 65,000 at once, half a MiB; here a page takes memory once one of its
// cells is written.

const SHIFT = 8;
const PAGE = 1 << SHIFT;
const MASK = PAGE - 1;

export class PagedArray<T> {
  private readonly pages: (readonly T[])[];
  private readonly none: readonly T[];

  /** `empty` is what is in a cell that nobody has written. */
  constructor(
    length: number,
    private readonly empty: T,
  ) {
    this.none = new Array<T>(PAGE).fill(empty);
    this.pages = new Array<readonly T[]>(Math.ceil(length / PAGE)).fill(this.none);
  }

  get(index: number): T {
    return this.pages[index >> SHIFT][index & MASK];
  }

  set(index: number, value: T): void {
    let page = this.pages[index >> SHIFT] as T[];
    if (page === this.none) {
      if (value === this.empty) return;
      page = this.none.slice();
      this.pages[index >> SHIFT] = page;
    }
    page[index & MASK] = value;
  }
}
