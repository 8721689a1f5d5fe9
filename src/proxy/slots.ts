// Slots of different tables have different types, so that an index into the sockets cannot be used for streams. They cost nothing at run
// time.

/** A socket of `Sockets`. */
export type SocketSlot = number & { readonly _: 'socket' };
/** A stream of `Streams`. */
export type StreamSlot = number & { readonly _: 'stream' };
/** An exchange of `Exchanges`. */
export type ExchangeSlot = number & { readonly _: 'exchange' };
/** An endpoint of `EndpointTable`. */
export type EndpointSlot = number & { readonly _: 'endpoint' };
