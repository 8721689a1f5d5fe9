// A server for measuring proxies:
//   node dist/src/harness/upstream/main.js KIND PORT BODY_BYTES [PROCESSES]
// It is plain Node and takes some microseconds per request. Its cost is not measured: it runs on its own cores, or on the load's.
import cluster from 'node:cluster';
import { createServer, type Socket } from 'node:net';
import { Http1Responder, http1Response } from './http1.js';
import { grpcResponse, Http2Responder, http2Response } from './http2.js';
import { WebSocketEchoServer } from './websocket.js';

const KINDS = ['http1', 'http2', 'grpc', 'grpc-server', 'grpc-each', 'websocket', 'echo', 'source'] as const;
type Kind = (typeof KINDS)[number];

/** Messages of a gRPC answer. */
const TIMES = { grpc: 1, 'grpc-server': 10, 'grpc-each': 'per-message' } as const;
const BACKLOG = 4096;
const PIECE = Buffer.alloc(256 * 1024, '0123456789abcdef');

/** As long as the peer accepts data, and no more than the socket buffers. */
function pour(socket: Socket): void {
  while (!socket.destroyed && socket.write(PIECE)) {
    // the peer has accepted it
  }
}

function serve(kind: Kind, bodyBytes: number): (socket: Socket) => void {
  switch (kind) {
    case 'http1': {
      const answer = http1Response(bodyBytes);
      const last = http1Response(bodyBytes, true);
      return (socket) => {
        const answers = new Http1Responder(answer, last);
        socket.on('data', (chunk) => {
          const { answer: octets, close } = answers.take(chunk);
          if (octets !== null) socket.write(octets);
          if (close) socket.end();
        });
      };
    }
    case 'http2':
    case 'grpc':
    case 'grpc-server':
    case 'grpc-each': {
      const answer = kind === 'http2' ? http2Response(bodyBytes) : grpcResponse(bodyBytes, TIMES[kind]);
      return (socket) => {
        const answers = new Http2Responder(answer);
        socket.on('data', (chunk) => {
          const octets = answers.take(chunk);
          if (octets.length > 0) socket.write(octets);
        });
      };
    }
    case 'websocket':
      return (socket) => {
        const echoes = new WebSocketEchoServer();
        socket.on('data', (chunk) => {
          const octets = echoes.take(chunk);
          if (octets.length > 0) socket.write(octets);
        });
      };
    case 'echo':
      return (socket) => socket.on('data', (chunk) => socket.write(chunk));
    case 'source':
      return (socket) => {
        socket.on('drain', () => pour(socket)).resume();
        pour(socket);
      };
    default:
      return kind satisfies never;
  }
}

function listen(kind: Kind, port: number, bodyBytes: number): void {
  const handle = serve(kind, bodyBytes);
  const taken = (socket: Socket): void => {
    // Peers may come and go at any time.
    socket.on('error', () => socket.destroy());
    handle(socket);
  };
  // Connections to the second address can be redirected separately.
  for (const host of ['127.0.0.1', '127.0.0.2']) {
    const server = createServer({ noDelay: true }, taken);
    server.listen({ host, port, backlog: BACKLOG });
  }
}

const [kind, port, bodyBytes = '40', processes = '1'] = process.argv.slice(2);
const known = KINDS.find((one) => one === kind);
if (known === undefined || !(Number(port) > 0)) {
  process.stderr.write(`usage: main.js ${KINDS.join('|')} PORT BODY_BYTES [PROCESSES]\n`);
  process.exitCode = 2;
} else if (cluster.isPrimary && Number(processes) > 1) {
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  for (let each = 0; each < Number(processes); each++) cluster.fork();
} else {
  listen(known, Number(port), Number(bodyBytes));
}
