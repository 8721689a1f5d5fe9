// Asks each of the applications once a second.
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';

async function web() {
  const response = await fetch('http://web:8080/');
  return (await response.text()).trim();
}

let greeter = null;

async function call() {
  if (greeter === null || greeter.closed || greeter.destroyed) {
    greeter = connectHttp2('http://greeter:50051');
    greeter.on('error', () => undefined);
  }
  const headers = { 'content-type': 'application/grpc', te: 'trailers' };
  const stream = greeter.request({ ':method': 'POST', ':path': '/helloworld.Greeter/SayHello', ...headers });
  const chunks = [];
  stream.on('data', (chunk) => chunks.push(chunk));
  stream.end(Buffer.alloc(5));
  await once(stream, 'close');
  return Buffer.concat(chunks).subarray(7).toString();
}

/** The first thing that a server says that speaks first. */
async function greeting(host, port) {
  const socket = connect({ host, port });
  const [data] = await once(socket, 'data');
  socket.destroy();
  return data.toString('latin1').replace(/[^ -~]+/g, ' ').trim().slice(0, 60);
}

const asked = { web, greeter: call, mysql: () => greeting('mysql', 4406), mail: () => greeting('mail', 2525) };
process.on('SIGTERM', () => process.exit(0));
for (;;) {
  for (const [name, ask] of Object.entries(asked)) {
    const began = performance.now();
    const answer = await ask().catch((error) => `failed: ${error.message}`);
    console.log(`${name} ${(performance.now() - began).toFixed(1)} ms: ${answer}`);
  }
  await new Promise((resolve) => setTimeout(resolve, 1000));
}
