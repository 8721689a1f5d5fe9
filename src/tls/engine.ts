// What drives OpenSSL, as far as TLS between sockets and protocols needs it: tests have one that encrypts nothing.
import type { NativeTls } from '../io/native-tls.js';

export type TlsEngine = Pick<
  NativeTls,
  | 'tlsPage'
  | 'tlsContext'
  | 'tlsContextFree'
  | 'tlsOpen'
  | 'tlsReceive'
  | 'tlsSend'
  | 'tlsShutdown'
  | 'tlsClose'
  | 'tlsPeer'
>;
