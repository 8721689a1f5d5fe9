// PostgreSQL through two Sluices of the mesh, in plain text and with TLS of its own: its clients notice nothing, and nobody on the way
// reads a row.
import assert from 'node:assert/strict';
import { chownSync, statSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { Missing, type RealServer, run, startPostgres, which } from '../support/servers.js';
import { availableExecutors, type Sluice } from '../support/sluice.js';
import { FAR, Mesh, startFar, startNear, stopAll, type Tap, tap } from './mesh-support.js';

const ROWS = 20_000;
const WORD = 'a row that nobody may read';

async function psql(port: number, sslmode: string, ...commands: readonly string[]): Promise<string> {
  const where = `host=127.0.0.1 port=${port} user=postgres dbname=postgres sslmode=${sslmode}`;
  const args = [where, '-v', 'ON_ERROR_STOP=1', '-qAtX', ...commands.flatMap((sql) => ['-c', sql])];
  const { code, stdout, stderr } = await run('psql', args);
  assert.equal(code, 0, stderr);
  return stdout.trimEnd();
}

/** Turns the server's own TLS on. */
async function secured(server: RealServer, mesh: Mesh): Promise<void> {
  const { certificate, key } = (await mesh.pki.leaf({ dns: ['db.test'] })).write(server.directory, 'db');
  const { uid, gid } = statSync(server.directory);
  for (const file of [certificate, key]) chownSync(file, uid, gid);
  const files = [`alter system set ssl_cert_file = '${certificate}'`, `alter system set ssl_key_file = '${key}'`];
  await psql(server.port, 'disable', ...files, 'alter system set ssl = on', 'select pg_reload_conf()');
}

const executors = await availableExecutors();
let server: RealServer | null = null;
let mesh: Mesh;
let lacking: string | false = which('psql') === null ? 'psql is not installed' : false;
if (lacking === false)
  try {
    server = await startPostgres();
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    lacking = error.message;
  }

describe('PostgreSQL through a pair of the mesh', { skip: lacking }, () => {
  let port = 0;
  before(async () => {
    mesh = await Mesh.make();
    if (server === null) return;
    port = server.port;
    await secured(server, mesh);
  });
  after(async () => {
    await server?.stop();
    mesh?.remove();
  });

  for (const io of executors)
    describe(io, () => {
      let far: Sluice;
      let near: Sluice;
      let onward: Tap;

      before(async () => {
        far = await startFar(mesh, io, { db: { address: `127.0.0.1:${port}` } });
        onward = await tap(far.port('db'));
        const endpoint = `identity: ${FAR}, proxy: { port: ${onward.port} }`;
        near = await startNear(mesh, io, {
          db: { address: `127.0.0.1:${onward.port}` },
          transport: { address: `127.0.0.1:${port}`, endpoint },
        });
      });
      after(async () => {
        await stopAll();
        onward?.close();
      });

      for (const listener of ['db', 'transport'])
        for (const sslmode of ['disable', 'require'])
          it(`by ${listener === 'db' ? 'TLS' : 'the opaque transport'}, with sslmode=${sslmode}`, async () => {
            const table = `${listener}_${io}_${sslmode}`;
            const through = near.port(listener);
            const sql = `insert into ${table} select n, '${WORD} ' || n from generate_series(1, ${ROWS}) n`;
            await psql(through, sslmode, `create table ${table} (id int, word text)`, sql);
            const secure = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()';
            const rows = await psql(through, sslmode, secure, `select word from ${table} order by id`);
            const [ssl, ...words] = rows.split('\n');
            assert.equal(ssl, sslmode === 'require' ? 't' : 'f');
            assert.deepEqual(
              words,
              Array.from({ length: ROWS }, (_, at) => `${WORD} ${at + 1}`),
            );
          });

      it('and none of it can be read on the way', () => {
        assert.ok(onward.bytes().length > 4 * ROWS * WORD.length);
        for (const word of [WORD, 'select', 'postgres', 'SELECT']) assert.ok(!onward.bytes().includes(word), word);
      });
    });
});
