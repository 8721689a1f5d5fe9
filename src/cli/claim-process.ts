// What the process is to the operating system: what it does on signals, and its name. Loaded before anything else, as Node opens
// its inspector on SIGUSR1, and the kernel ends the process on SIGUSR2, until somebody listens. Nothing may be imported here.

// `sluice run` adds listeners of its own. These stay: with the last one Node's handler would come back.
for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => undefined);
// What is to be read anew has not been read yet.
if (process.argv[2] === 'run') process.on('SIGHUP', () => undefined);

// pidof, pkill -x and ps know it by this name: the thread's (prctl PR_SET_NAME) and the command line's.
process.title = 'sluice';
