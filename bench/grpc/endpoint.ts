// A gRPC server as a process of its own.
//   node dist/bench/grpc/endpoint.js PORT IDENTITY DELAY_MS
import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { BENCH_SERVICE, MESSAGE_BYTES } from './service.js';

const [port, identity, delayMs] = process.argv.slice(2).map(Number);
const response = Buffer.alloc(MESSAGE_BYTES, 'x');
response[0] = identity;

const echo: handleUnaryCall<Buffer, Buffer> = (_call, callback) => {
  if (delayMs > 0) setTimeout(callback, delayMs, null, response);
  else callback(null, response);
};

const service: ServiceDefinition = BENCH_SERVICE;
const implementation: UntypedServiceImplementation = { echo };
const server = new Server({ 'grpc.max_concurrent_streams': 1000 });
server.addService(service, implementation);
server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
