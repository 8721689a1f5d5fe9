// Records of TLS 1.3: encrypted by one connection, decrypted by the other.
import type { NativeTls } from '../../io/native-tls.js';
import { TLS, TLS_CLIENT_CERTIFICATE, TLS_PAGE } from '../../io/native-tls.js';
import type { MicroBenchmark } from '../benchmark.js';
import type { OwnCertificate } from '../certificate.js';

const NAME = 'micro.local';
const ROOM = 20 * 1024;
const TLS_1_3 = 0x0304;
/** Flights of a handshake, with some reserve. */
const MAX_FLIGHTS = 12;

interface Place {
  readonly plain: number;
  readonly wire: number;
}

function contexts(native: NativeTls, { anchor, chain, key }: OwnCertificate): { server: number; client: number } {
  const both = {
    systemTrust: false,
    clientCertificate: TLS_CLIENT_CERTIFICATE.NONE,
    minVersion: TLS_1_3,
    alpn: [],
    tickets: false,
    wholeNames: false,
  } as const;
  return {
    server: native.tlsContext({ ...both, server: true, certificates: [{ chain, key, names: [NAME] }], anchors: [] }),
    client: native.tlsContext({ ...both, server: false, certificates: [], anchors: [anchor] }),
  };
}

/** Passes flights between the two until both are done. Throws if a handshake fails. */
function shakeHands(native: NativeTls, client: number, server: number, places: readonly [Place, Place]): void {
  const page = native.tlsPage();
  const ends = [client, server];
  let done = 0;
  let [at, length] = [places[1].wire, 0];
  for (let flight = 0; flight < MAX_FLIGHTS && (done !== 3 || length > 0); flight++) {
    const turn = flight & 1;
    const { plain, wire } = places[turn];
    const status = native.tlsReceive(ends[turn], at, length, plain, ROOM, wire, ROOM);
    if ((status & TLS.FAILED) !== 0) throw new Error(`TLS with oneself: ${native.tlsReason(page[TLS_PAGE.REASON])}`);
    if ((status & TLS.HANDSHAKE_DONE) !== 0) {
      done |= 1 << turn;
      native.tlsPeer(ends[turn]);
    }
    [at, length] = [wire, page[TLS_PAGE.WIRE]];
  }
  if (done !== 3) throw new Error('TLS with oneself: the handshake does not end');
}

/** `octets` of payload in each record. */
export function tlsRecord(certificate: OwnCertificate, octets: number): MicroBenchmark {
  return {
    name: `tls-record-${octets}`,
    what: `a record of TLS 1.3 with ${octets} octets is encrypted, and decrypted by its peer`,
    prepare: ({ native, slab }) => {
      const place = (): Place => ({ plain: slab.fixed(ROOM), wire: slab.fixed(ROOM) });
      const places = [place(), place()] as const;
      const { client: clientContext, server: serverContext } = contexts(native, certificate);
      const client = native.tlsOpen(clientContext, NAME, NAME);
      const server = native.tlsOpen(serverContext, null, null);
      shakeHands(native, client, server, places);
      const page = native.tlsPage();
      const [from, to] = places;
      return {
        run(times) {
          let sum = 0;
          for (let i = 0; i < times; i++) {
            native.tlsSend(client, from.plain, octets, from.wire, ROOM);
            native.tlsReceive(server, from.wire, page[TLS_PAGE.WIRE], to.plain, ROOM, to.wire, ROOM);
            if (page[TLS_PAGE.PLAIN] !== octets) throw new Error('a record did not arrive whole');
            sum += page[TLS_PAGE.PLAIN] & 0xff;
          }
          return sum;
        },
        end() {
          native.tlsClose(client);
          native.tlsClose(server);
          native.tlsContextFree(clientContext);
          native.tlsContextFree(serverContext);
        },
      };
    },
  };
}
