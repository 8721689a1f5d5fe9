// Waiting for what events bring about, in tests: a condition is asked again after each event, never after a time.

/** How long a peer waits for what must come: long enough never to be what fails on a slow machine. */
const TIMEOUT_MS = 30_000;

export class Waiting {
  private readonly looks = new Set<() => void>();

  /** Something has happened: every condition is asked again. */
  wake(): void {
    for (const look of [...this.looks]) look();
  }

  /** Resolves when `condition` holds; rejects with what it throws, or with `late` after `patienceMs`. */
  until(condition: () => boolean, late: () => string, patienceMs = TIMEOUT_MS): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        this.looks.delete(look);
      };
      const look = (): void => {
        try {
          if (!condition()) return;
          resolve();
        } catch (error) {
          reject(error);
        }
        done();
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error(`${late()} did not come within ${patienceMs} ms`));
      }, patienceMs);
      timer.unref();
      this.looks.add(look);
      look();
    });
  }
}
