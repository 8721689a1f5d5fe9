// Passes the output of HTTP/2 connections to their sockets, and tells connections when a socket has enough.
import type { CongestionSink } from '../../http2/shared-state.js';
import { SOCKET } from '../../io/sockets.js';
import { W } from '../../metrics/layout.js';
import type { Context } from '../context.js';

/** With more output than this, requests are no longer read: their answers would only add to it. */
const OUTPUT_FACTOR = 4;

export function congestionSink(context: Context): CongestionSink {
  const { sockets, values } = context;
  return {
    queue: (socket, at, length, bid) => {
      sockets.queue(socket, at, length, bid);
      const hard = OUTPUT_FACTOR * context.outputLimits.maxBuffers;
      if (sockets.pinned[socket] > hard && context.connections.listener[socket] >= 0) {
        sockets.pause(socket);
        sockets.notifyDrained(socket);
        // It is not read now, but its close must be noticed.
        sockets.watch(socket, true);
      }
    },
    sending: (socket) => (sockets.flags[socket] & SOCKET.SENDING) !== 0,
    congested: (socket, unsent) => {
      const bytes = sockets.queued[socket] + unsent;
      if (bytes <= context.limits.maxBufferedBytes && !context.outputLimits.full(socket)) return false;
      values[W.BACKPRESSURE]++;
      sockets.notifyDrained(socket);
      return true;
    },
  };
}
