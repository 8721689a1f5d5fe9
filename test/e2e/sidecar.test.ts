// A pod and the world around it: two network namespaces with a wire between them. In the pod there are the rules of `sluice init`, Sluice as
// user 2102, and an application that knows nothing of it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Namespace, Program } from '../support/namespaces.js';
import { availableExecutors, type Sluice, startSluice } from '../support/sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const UID = '2102';
const POD = ['10.79.0.2', 'fd79::2'] as const;
const WORLD = ['10.79.0.1', 'fd79::1'] as const;
const PORT = { HTTP: 8080, GREETS: 9025, SKIPPED: 9100 } as const;

/**
 * Serves HTTP on one port and greets on two others, and says whom it sees. Asked for `http HOST PORT` or `tcp HOST PORT` it says what it got.
 */
const APPLICATION = `
const http = require('node:http');
const net = require('node:net');
const seen = (socket) => socket.remoteAddress.replace('::ffff:', '') + ' at ' + socket.localAddress.replace('::ffff:', '');
const greets = () => net.createServer((socket) => socket.on('error', () => {}).end('hello ' + seen(socket)));
const ready = [
  http.createServer((request, response) => response.end('served ' + seen(request.socket))).listen(${PORT.HTTP}, '::'),
  greets().listen(${PORT.GREETS}, '::'),
  greets().listen(${PORT.SKIPPED}, '::'),
];
let listening = 0;
for (const server of ready) server.once('listening', () => ++listening === ready.length && console.log('ready'));
require('node:readline').createInterface(process.stdin).on('line', (line) => {
  const [how, host, port] = line.split(' ');
  const failed = (error) => console.log(error.code);
  let text = '';
  const more = (chunk) => { text += chunk; };
  if (how === 'http')
    http.get({ host, port, agent: false }, (response) => response.on('data', more).on('end', () => console.log(text.trim()))).on('error', failed);
  else net.connect(port, host).on('data', more).on('end', () => console.log(text.trim())).on('error', failed);
});
`;

const pod = Namespace.make('pod');
const world = Namespace.make('wrld');

/** Lays the wire and the rules; why that can't be done here, '' if it could. */
function setUp(): string {
  if (typeof pod === 'string') return pod;
  if (typeof world === 'string') return world;
  try {
    pod.connect(world, [`${POD[0]}/24`, `${POD[1]}/64`], [`${WORLD[0]}/24`, `${WORLD[1]}/64`]);
    const skip = String(PORT.SKIPPED);
    pod.run(process.execPath, MAIN, 'init', '--inbound-ports-to-ignore', skip, '--outbound-ports-to-ignore', skip);
    // Where the checkout is closed to others, it is not Sluice that fails.
    pod.run('setpriv', '--reuid', UID, '--regid', UID, '--clear-groups', process.execPath, MAIN, 'version');
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const why = setUp();
after(() => {
  for (const namespace of [pod, world]) if (typeof namespace !== 'string') namespace.remove();
});

describe('a sidecar', {
  skip: why === '' ? false : `network namespaces need root, ip, iptables and setpriv: ${why}`,
}, async () => {
  if (typeof pod === 'string' || typeof world === 'string') return;
  for (const io of await availableExecutors()) {
    describe(`on ${io}`, () => {
      let application: Program;
      let outside: Program;
      let sluice: Sluice;
      before(async () => {
        application = await Program.start(APPLICATION, pod.inside);
        outside = await Program.start(APPLICATION, world.inside);
        const under = [...pod.inside, 'setpriv', '--reuid', UID, '--regid', UID, '--clear-groups'];
        sluice = await startSluice(
          'sidecar: { enabled: true }\nadmin: { listen: ":4191" }\nlog: { access: true }\ndrain: { hold: 0s, grace: 600s }\n',
          io,
          {},
          under,
        );
      });
      after(async () => {
        await application.stop();
        await outside.stop();
        await sluice.stop();
      });
      const accessLines = (): string[] =>
        sluice.log
          .filter(({ message }) => message === 'request' || message === 'connection')
          .map(({ listener }) => String(listener));
      /** The listeners that what happens in `work` passes. */
      const passing = async (work: () => Promise<unknown>, lines: number): Promise<string[]> => {
        const before = accessLines().length;
        await work();
        if (lines > 0) await sluice.logged(() => accessLines().length >= before + lines);
        return accessLines().slice(before);
      };

      for (const [family, mine, theirs] of [
        ['IPv4', POD[0], WORLD[0]],
        ['IPv6', POD[1], WORLD[1]],
      ] as const) {
        const out = family === 'IPv4' ? 'outbound' : 'outbound-ipv6';

        it(`takes what comes in, for the address that it was going to (${family})`, async () => {
          const passed = await passing(async () => {
            assert.equal(await outside.ask(`http ${mine} ${PORT.HTTP}`), `served ${mine} at ${mine}`);
            assert.equal(await outside.ask(`tcp ${mine} ${PORT.GREETS}`), `hello ${mine} at ${mine}`);
          }, 2);
          assert.deepEqual(passed, ['inbound', 'inbound']);
        });

        it(`takes what goes out (${family})`, async () => {
          const passed = await passing(async () => {
            assert.equal(await application.ask(`http ${theirs} ${PORT.HTTP}`), `served ${mine} at ${theirs}`);
            assert.equal(await application.ask(`tcp ${theirs} ${PORT.GREETS}`), `hello ${mine} at ${theirs}`);
          }, 2);
          assert.deepEqual(passed, [out, out]);
        });

        it(`never sees ports that are skipped, and what stays in the pod (${family})`, async () => {
          const passed = await passing(async () => {
            assert.equal(await outside.ask(`tcp ${mine} ${PORT.SKIPPED}`), `hello ${theirs} at ${mine}`);
            assert.equal(await application.ask(`tcp ${theirs} ${PORT.SKIPPED}`), `hello ${mine} at ${theirs}`);
            assert.equal(await application.ask(`http ${mine} ${PORT.HTTP}`), `served ${mine} at ${mine}`);
            const loopback = family === 'IPv4' ? '127.0.0.1' : '::1';
            assert.equal(await application.ask(`http ${loopback} ${PORT.HTTP}`), `served ${loopback} at ${loopback}`);
            // One that is seen, and comes last.
            assert.equal(await application.ask(`http ${theirs} ${PORT.HTTP}`), `served ${mine} at ${theirs}`);
          }, 1);
          assert.deepEqual(passed, [out]);
        });

        it(`refuses whoever goes to its own port, and answers for who is not there (${family})`, async () => {
          const passed = await passing(async () => {
            assert.match(await outside.ask(`tcp ${mine} 4143`), /^(ECONNRESET|)$/);
            // In the pod this one listens on the loopback address only.
            assert.match(await outside.ask(`http ${mine} 4140`), /^connect-failed/);
            assert.match(await application.ask(`http ${theirs} 1`), /^connect-failed/);
          }, 3);
          assert.deepEqual(passed, ['inbound', 'inbound', out]);
        });
      }
    });
  }
});
