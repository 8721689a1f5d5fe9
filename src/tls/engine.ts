// The interface to OpenSSL, as far as the TLS transport needs it: tests have an implementation that does not encrypt.
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
