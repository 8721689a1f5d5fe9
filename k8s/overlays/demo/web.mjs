// Says which pod has answered. One of them is slow now and then.
import { createServer } from 'node:http';

const port = Number(process.env.PORT ?? 8080);
createServer((request, response) => {
  request.resume();
  const ms = Math.random() < 0.01 ? 100 : 0;
  setTimeout(() => response.end(`hello from ${process.env.POD ?? 'web'}\n`), ms);
}).listen(port, () => console.log(`listening on ${port}`));
process.on('SIGTERM', () => process.exit(0));
