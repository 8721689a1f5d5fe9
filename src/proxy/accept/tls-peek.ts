// Examines the ClientHello on mesh listeners. If it asks for one of our names, TLS ends here and detection continues inside. Everything
// else is somebody else's TLS and passes through unchanged, whatever it looks like: no client is refused because of its hello.
import { VERDICT } from '../../detect/matcher.js';
import { column } from '../../http/columns.js';
import { mayBeOurs, NO_NAMES, type PossibleNames } from '../../identity/possible-names.js';
import { L, listenerBase, MAX_LISTENERS, SEEN, W } from '../../metrics/layout.js';
import { ClientHellos, HELLO } from '../../tls/client-hello.js';
import type { Context } from '../context.js';
import type { SocketSlot } from '../slots.js';
import type { Snapshot } from '../snapshot.js';

export const PEEK = { MORE: 0, TERMINATE: 1, PASS_THROUGH: 2 } as const;

/** What this needs of a worker. */
export interface Shared {
  readonly connections: Pick<Context['connections'], 'listener' | 'identified'>;
  readonly sockets: Pick<Context['sockets'], 'capacity' | 'layer'>;
  readonly inbox: Pick<Context['inbox'], 'first' | 'following' | 'startOf' | 'endOf'>;
  readonly bytes: Uint8Array;
  readonly values: Float64Array;
}

export class TlsPeek {
  /** Is told of requested names that are not ours; '' for none. */
  foreignName: ((name: string) => void) | undefined;
  private readonly hellos: ClientHellos;
  /** 1 while a client's hello is being read. */
  private readonly reading: Uint8Array;
  private readonly mesh = column(Uint8Array, MAX_LISTENERS);
  private readonly hello = column(Float64Array, MAX_LISTENERS);
  private names: ReadonlySet<string> = new Set();
  private possible: PossibleNames = NO_NAMES;

  constructor(private readonly context: Shared) {
    this.hellos = new ClientHellos(context.sockets.capacity);
    this.reading = column(Uint8Array, context.sockets.capacity);
  }

  configure({
    listeners,
    tls,
    meshServer,
    possibleNames,
  }: Pick<Snapshot, 'listeners' | 'tls' | 'meshServer' | 'possibleNames'>): void {
    this.possible = possibleNames;
    this.mesh.fill(0);
    for (const { slot, mesh, helloMs } of listeners) {
      if (mesh) this.mesh[slot] = 1;
      this.hello[slot] = helloMs;
    }
    const profile = tls.find(({ slot }) => slot === meshServer && slot !== 0);
    this.names = new Set(profile?.certificates.flatMap(({ names }) => names) ?? []);
  }

  /** A client of which nothing is known. */
  begin(client: SocketSlot): void {
    this.reading[client] = 0;
  }

  /** Whether to examine a TLS client's hello: not inside TLS that has ended here. */
  applies(client: SocketSlot): boolean {
    return this.mesh[this.context.connections.listener[client]] === 1 && this.context.sockets.layer[client] === 0;
  }

  /**
   * Silence after which a client is taken to speak no TLS and to wait for a greeting, ms. A peer sends its hello at once, but its machine
   * may be busy and its first segment may get lost (TCP's first timeout is a second, RFC 6298 section 2.1).
   */
  helloMs(client: SocketSlot): number {
    return this.hello[this.context.connections.listener[client]];
  }

  /** Counts the TLS outcome of a connection on a mesh listener. `unseen`: nothing was examined. */
  count(client: SocketSlot, verdict: number, unseen: boolean): void {
    const { connections, sockets, values } = this.context;
    const listener = connections.listener[client];
    if (this.mesh[listener] === 0) return;
    const none = unseen ? SEEN.SKIPPED : SEEN.NONE;
    const seen = sockets.layer[client] !== 0 ? SEEN.ENDED : verdict === VERDICT.TLS ? SEEN.PASSED : none;
    values[listenerBase(listener) + L.TLS + seen]++;
    connections.identified(client, seen);
  }

  /** Whether the hello is being read: the next bytes go to `read`. */
  isReading(client: SocketSlot): boolean {
    return this.reading[client] === 1;
  }

  /** More of the hello, before it is put into the inbox. */
  read(client: SocketSlot, start: number, end: number): void {
    this.hellos.read(client, this.context.bytes, start, end);
  }

  /** The verdict on the hello; everything received is in the inbox. */
  verdict(client: SocketSlot): number {
    if (this.reading[client] === 0) {
      this.reading[client] = 1;
      this.hellos.begin(client);
      this.readAll(client, client);
    }
    switch (this.hellos.verdict(client)) {
      case HELLO.MORE:
        return PEEK.MORE;
      case HELLO.NAMED:
        this.reading[client] = 0;
        return this.isOwnName(client) ? PEEK.TERMINATE : PEEK.PASS_THROUGH;
      case HELLO.NAMELESS:
        this.foreignName?.('');
        break;
      default:
        this.context.values[W.HELLOS_UNREADABLE]++;
    }
    this.reading[client] = 0;
    return PEEK.PASS_THROUGH;
  }

  private isOwnName(client: SocketSlot): boolean {
    const { hellos } = this;
    // Parse again in one go: the name was read in pieces and not kept.
    hellos.begin(hellos.spare);
    this.readAll(client, hellos.spare);
    const name = hellos.lastName();
    // Without an identity yet, any name that may become ours is taken to mean us. The application knows no such names.
    if (this.names.size === 0 ? mayBeOurs(name, this.possible) : this.names.has(name)) return true;
    this.foreignName?.(name);
    return false;
  }

  private readAll(client: SocketSlot, slot: number): void {
    const { inbox, bytes } = this.context;
    for (let bid = inbox.first(client); bid >= 0; bid = inbox.following(bid))
      this.hellos.read(slot, bytes, inbox.startOf(bid), inbox.endOf(bid));
  }
}
