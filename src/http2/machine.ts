// HTTP/2 as a state machine: peers' bytes in, events and bytes out (RFC 9113). Both roles; no sockets, no clock.
import { Abuse } from './abuse.js';
import type { Connection } from './connection.js';
import { FrameHandler } from './frame-handlers.js';
import { HeaderBlocks } from './header-blocks.js';
import { Receiver } from './receiver.js';
import { Sender } from './sender.js';
import type { Core, Http2Events } from './shared-state.js';

export class Http2Machine {
  readonly sender: Sender;
  readonly frames: FrameHandler;
  private readonly receiver: Receiver;

  constructor(
    readonly core: Core,
    events: Http2Events,
  ) {
    this.sender = new Sender(core, events);
    const abuse = new Abuse(core, this.sender);
    const headerBlocks = new HeaderBlocks(core, this.sender, abuse, events);
    this.frames = new FrameHandler(core, this.sender, headerBlocks, abuse, events);
    this.receiver = new Receiver(core, this.sender, this.frames);
  }

  /** Reads [start, end) of a buffer that the caller holds; what is needed later is copied or retained. */
  receive(connection: Connection, start: number, end: number): void {
    this.receiver.receive(connection, start, end);
  }

  /** The connection is over: releases its buffers. Its streams must be detached. */
  drop(connection: Connection): void {
    this.receiver.drop(connection);
    this.core.output.drop(connection);
  }
}
