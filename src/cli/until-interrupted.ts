// Runs work that goes on until it is ended.

/** Runs until the work ends by itself, by Ctrl-C, after `forMs` (0: never), or because standard output is closed. */
export async function untilInterrupted(run: (signal: AbortSignal) => Promise<void>, forMs = 0): Promise<void> {
  const ending = new AbortController();
  const end = (): void => ending.abort();
  const broken = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EPIPE') throw error;
    end();
  };
  process.once('SIGINT', end).once('SIGTERM', end);
  process.stdout.on('error', broken);
  const timer = forMs > 0 ? setTimeout(end, forMs) : undefined;
  try {
    await run(ending.signal);
  } finally {
    clearTimeout(timer);
    process.off('SIGINT', end).off('SIGTERM', end);
    process.stdout.off('error', broken);
  }
}
