// A queue of integers with a fixed capacity.

export class IntegerQueue {
  count = 0;
  private head = 0;
  private readonly items: Int32Array;

  constructor(private readonly capacity: number) {
    this.items = new Int32Array(capacity);
  }

  push(item: number): void {
    let at = this.head + this.count++;
    if (at >= this.capacity) at -= this.capacity;
    this.items[at] = item;
  }

  get first(): number {
    return this.items[this.head];
  }

  shift(): number {
    const item = this.items[this.head];
    this.head = this.head + 1 === this.capacity ? 0 : this.head + 1;
    this.count--;
    return item;
  }
}
