// Detects other processes with TCP sockets in this network namespace: in a pod, the application.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const TABLES = ['/proc/self/net/tcp', '/proc/self/net/tcp6'];
/** Columns of these tables (proc_net_tcp.txt): the state, and the inode of the socket. */
const STATE = 3;
const INODE = 9;
/** TIME_WAIT and CLOSE (tcp_states.h): no process holds these. */
const CLOSED_STATES = new Set(['06', '07']);

/** Inodes of the sockets in a table that a process holds. */
export function socketsIn(table: string): string[] {
  const found: string[] = [];
  for (const line of table.split('\n').slice(1)) {
    const columns = line.trim().split(/\s+/);
    // 0 is a socket without a process.
    if (columns.length > INODE && columns[INODE] !== '0' && !CLOSED_STATES.has(columns[STATE]))
      found.push(columns[INODE]);
  }
  return found;
}

/** Inodes of this process's own sockets. */
function ownSockets(): Set<string> {
  const own = new Set<string>();
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      const number = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
      if (number !== undefined) own.add(number);
    } catch {
      // Closed meanwhile.
    }
  }
  return own;
}

/** Whether anybody else here has a socket; null if the kernel does not tell. */
export function othersHaveSockets(): boolean | null {
  const others: string[] = [];
  let readable = false;
  for (const table of TABLES) {
    try {
      others.push(...socketsIn(readFileSync(table, 'latin1')));
      readable = true;
    } catch {
      // A kernel without IPv6 has only one of them.
    }
  }
  if (!readable) return null;
  try {
    // Read last, so that it includes what this process has opened meanwhile.
    const own = ownSockets();
    return others.some((number) => !own.has(number));
  } catch {
    return null;
  }
}
