// gRPC, by hand: helloworld.Greeter/SayHello, whatever it is asked, says which pod has answered.
import { createServer } from 'node:http2';

const port = Number(process.env.PORT ?? 50051);
const text = Buffer.from(`hello from ${process.env.POD ?? 'greeter'}`);
// Field 1, a string; before it the length of the message.
const message = Buffer.concat([Buffer.from([0, 0, 0, 0, text.length + 2, 0x0a, text.length]), text]);
// What the kubelet asks (grpc.health.v1.Health/Check): field 1 is 1, which is SERVING.
const serving = Buffer.from([0, 0, 0, 0, 2, 8, 1]);
const server = createServer();
server.on('stream', (stream, headers) => {
  const answer = headers[':path'] === '/grpc.health.v1.Health/Check' ? serving : message;
  stream.on('error', () => undefined);
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.resume();
  stream.on('end', () => stream.end(answer));
});
server.listen(port, () => console.log(`listening on ${port}`));
process.on('SIGTERM', () => process.exit(0));
