// What to do about errors of the system that stop a start.

const LIMITS: readonly (readonly [sign: RegExp, help: string])[] = [
  [/\bEMFILE\b/, 'raise the limit of open files: ulimit -n 1024, or LimitNOFILE=1024'],
  [/\bENFILE\b/, 'the machine has no open file left: raise fs.file-max, or look for a process that leaks them'],
  [/^EAGAIN$/, 'no more threads may be started: raise ulimit -u, TasksMax= or pids.max'],
  [/^io_uring_\w+: /, 'io_uring is not to be had here: use --io auto or epoll, or allow its three system calls'],
];

/** An error's text, followed by what to do about it where that is known. */
export function withHelp(message: string): string {
  const help = LIMITS.find(([sign]) => sign.test(message))?.[1];
  return help === undefined ? message : `${message}; ${help}`;
}
