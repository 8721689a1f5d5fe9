// Claims signals and the process name. Loaded before everything else: until there are listeners, SIGUSR1 makes Node open its inspector, and
// SIGUSR2 makes the kernel end the process. Nothing may be imported here.

// `sluice run` adds its own listeners. These stay, because Node's handler returns when the last listener is removed.
for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => undefined);
// A reload has no effect yet: nothing has been read so far.
if (process.argv[2] === 'run') process.on('SIGHUP', () => undefined);

// pidof, pkill -x and ps find the process by this name: that of the thread (prctl PR_SET_NAME) and that in the command line.
process.title = 'sluice';
