// Ctrl-C keeps what has been measured: the first one ends the work, a second one the process.

/** The exit code after a signal. */
export const INTERRUPTED = 130;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** `said` is called at the first signal. */
export function untilInterrupted(said: () => void): { readonly signal: AbortSignal; done(): void } {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED);
    controller.abort();
    said();
  };
  for (const signal of SIGNALS) process.on(signal, interrupt);
  return {
    signal: controller.signal,
    done() {
      for (const signal of SIGNALS) process.off(signal, interrupt);
    },
  };
}
