// Real servers and their own clients through Sluice: on a port marked opaque, and on one that nothing is said about.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  freePort,
  Missing,
  mailDirectory,
  type RealServer,
  run,
  startMariadb,
  startMemcached,
  startPostgres,
  startRedis,
  startSmtpd,
  startSshd,
  which,
} from '../support/servers.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';

interface Kind {
  readonly name: string;
  readonly start: () => Promise<RealServer>;
  readonly client: string | null;
  readonly speaksFirst: boolean;
  /** Real work through `port`; `tag` makes what it leaves on the server its own. */
  readonly work: (port: number, tag: string, server: RealServer) => Promise<void>;
}

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

async function succeed(program: string, args: readonly string[], input = ''): Promise<string> {
  const { code, stdout, stderr } = await run(program, args, input);
  assert.equal(code, 0, `${program}: ${stderr}`);
  return stdout;
}

async function postgres(port: number, tag: string): Promise<void> {
  const psql = (sql: string) =>
    succeed('psql', [
      '-h',
      '127.0.0.1',
      '-p',
      String(port),
      '-U',
      'postgres',
      '-v',
      'ON_ERROR_STOP=1',
      '-qAtX',
      '-c',
      sql,
    ]);
  await psql(`create table ${tag} (id int primary key, text text)`);
  await psql(`insert into ${tag} select n, repeat(md5(n::text), 4) from generate_series(1, 30000) n`);
  const rows = await psql(`select id, text from ${tag} order by id`);
  const expected = Array.from({ length: 30_000 }, (_, i) => `${i + 1}|${md5(String(i + 1)).repeat(4)}\n`).join('');
  assert.equal(md5(rows), md5(expected), 'four megabytes of rows arrive as they are');
}

async function mariadb(port: number, tag: string): Promise<void> {
  const query = (sql: string) =>
    succeed('mariadb', [
      '--no-defaults',
      '--protocol=tcp',
      '-h',
      '127.0.0.1',
      '-P',
      String(port),
      '-u',
      'root',
      '-N',
      '-e',
      sql,
    ]);
  await query(`create database ${tag}`);
  await query(
    `use ${tag}; create table ${tag}.t (id int primary key, text text); insert into ${tag}.t select seq, repeat(md5(seq), 4) from seq_1_to_20000`,
  );
  const rows = await query(`select id, text from ${tag}.t order by id`);
  const expected = Array.from({ length: 20_000 }, (_, i) => `${i + 1}\t${md5(String(i + 1)).repeat(4)}\n`).join('');
  assert.equal(md5(rows), md5(expected));
}

async function redis(port: number, tag: string): Promise<void> {
  const cli = (args: string[], input = '') =>
    succeed('redis-cli', ['-h', '127.0.0.1', '-p', String(port), ...args], input);
  assert.equal(await cli(['SET', tag, 'value']), 'OK\n');
  assert.equal(await cli(['GET', tag]), 'value\n');
  const big = 'x'.repeat(3_000_000);
  assert.equal(await cli(['-x', 'SET', `${tag}-big`], big), 'OK\n');
  assert.equal(md5(await cli(['GET', `${tag}-big`])), md5(`${big}\n`));
  const pipelined = Array.from({ length: 20_000 }, (_, i) => `SET ${tag}-${i} ${i}\r\n`).join('');
  assert.match(await cli(['--pipe'], pipelined), /errors: 0, replies: 20000/);
  assert.equal(await cli(['GET', `${tag}-19999`]), '19999\n');
}

async function memcached(port: number, tag: string): Promise<void> {
  const value = 'v'.repeat(500_000);
  const answer = await new Promise<string>((resolve, reject) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(`set ${tag} 0 0 ${value.length}\r\n${value}\r\nget ${tag}\r\nget nothing\r\nquit\r\n`);
    });
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.once('end', () => resolve(text)).once('error', reject);
  });
  assert.equal(md5(answer), md5(`STORED\r\nVALUE ${tag} 0 ${value.length}\r\n${value}\r\nEND\r\nEND\r\n`));
}

async function smtp(port: number, tag: string, server: RealServer): Promise<void> {
  const message = `From: bob@mail.test\r\nTo: alice@mail.test\r\nSubject: ${tag}\r\n\r\n${'A line of text.\r\n'.repeat(5000)}`;
  await succeed(
    'curl',
    [
      '-sS',
      `smtp://127.0.0.1:${port}/mail.test`,
      '--mail-from',
      'bob@mail.test',
      '--mail-rcpt',
      'alice@mail.test',
      '-T',
      '-',
    ],
    message,
  );
  const delivered = (): boolean => {
    const directory = mailDirectory(server);
    let files: string[];
    try {
      files = readdirSync(directory);
    } catch {
      return false;
    }
    return files.some((file) => {
      const text = readFileSync(join(directory, file), 'latin1');
      return text.includes(`Subject: ${tag}`) && text.split('A line of text.').length === 5001;
    });
  };
  await eventually(delivered, `the message ${tag} is delivered`);
}

async function ssh(port: number): Promise<void> {
  const keys = await succeed('ssh-keyscan', ['-t', 'ed25519', '-p', String(port), '127.0.0.1']);
  assert.match(keys, /ssh-ed25519 \S+/);
}

const KINDS: readonly Kind[] = [
  { name: 'postgres', start: startPostgres, client: 'psql', speaksFirst: false, work: postgres },
  { name: 'mariadb', start: startMariadb, client: 'mariadb', speaksFirst: true, work: mariadb },
  { name: 'redis', start: startRedis, client: 'redis-cli', speaksFirst: false, work: redis },
  { name: 'memcached', start: startMemcached, client: null, speaksFirst: false, work: memcached },
  { name: 'smtp', start: startSmtpd, client: 'curl', speaksFirst: true, work: smtp },
  { name: 'ssh', start: startSshd, client: 'ssh-keyscan', speaksFirst: true, work: ssh },
];

/** The first bytes that a server sends to a client that says nothing. */
function greeting(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('data', (chunk) => {
      socket.destroy();
      resolve(chunk.toString('latin1'));
    });
    socket.once('error', reject);
    socket.once('end', () => reject(new Error('closed without a greeting')));
  });
}

const servers = new Map<string, RealServer>();
const missing = new Map<string, string>();

before(async () => {
  await Promise.all(
    KINDS.map(async ({ name, start, client }) => {
      try {
        if (client !== null && which(client) === null) throw new Missing(`${client} is not installed`);
        servers.set(name, await start());
      } catch (error) {
        if (!(error instanceof Missing)) throw error;
        missing.set(name, error.message);
      }
    }),
  );
});

after(async () => {
  await Promise.all([...servers.values()].map((server) => server.stop()));
});

for (const io of await availableExecutors()) {
  describe(io, () => {
    let sluice: Sluice;

    before(async () => {
      const listeners: string[] = [];
      const services: string[] = [];
      const ports: number[] = [];
      for (const [name, server] of servers) {
        const port = await freePort();
        ports.push(port);
        listeners.push(`  - { name: ${name}-marked, listen: "127.0.0.1:${port}", service: ${name} }`);
        listeners.push(`  - { name: ${name}-hinted, listen: "127.0.0.1:0", service: ${name}, protocol: opaque }`);
        listeners.push(`  - { name: ${name}-plain, listen: "127.0.0.1:0", service: ${name} }`);
        services.push(`  ${name}: { endpoints: ["127.0.0.1:${server.port}"] }`);
      }
      const yaml = `opaquePorts: [${ports.join(', ')}]\nlisteners:\n${listeners.join('\n')}\nservices:\n${services.join('\n')}\n`;
      sluice = await startSluice(yaml, io);
    });

    after(async () => {
      await sluice.stop();
    });

    const verdicts = (listener: string, reason: string): Promise<number> =>
      sluice.metric('sluice_verdict_total', { listener, verdict: 'opaque', reason });

    for (const { name, speaksFirst, work } of KINDS) {
      test(`${name} works on a port marked opaque`, async (t) => {
        const server = servers.get(name);
        if (server === undefined) return t.skip(missing.get(name));
        await work(sluice.port(`${name}-marked`), `marked_${io}`, server);
        assert.ok((await verdicts(`${name}-marked`, 'annotation')) >= 1);
        assert.equal(
          await sluice.metric('sluice_verdict_total', { listener: `${name}-marked` }),
          await verdicts(`${name}-marked`, 'annotation'),
        );
      });

      test(`${name} works on a listener with protocol: opaque`, async (t) => {
        const server = servers.get(name);
        if (server === undefined) return t.skip(missing.get(name));
        await work(sluice.port(`${name}-hinted`), `hinted_${io}`, server);
        assert.ok((await verdicts(`${name}-hinted`, 'hint')) >= 1);
      });

      if (speaksFirst) {
        test(`${name} greets a silent client on a listener without configuration, and is known from then on`, async (t) => {
          if (!servers.has(name)) return t.skip(missing.get(name));
          const listener = `${name}-plain`;
          assert.notEqual(await greeting(sluice.port(listener)), '');
          assert.equal(await verdicts(listener, 'server-first'), 1);
          assert.notEqual(await greeting(sluice.port(listener)), '');
          assert.equal(await verdicts(listener, 'server-first'), 1);
          assert.equal(await verdicts(listener, 'learned'), 1);
          assert.equal(await verdicts(listener, 'timeout'), 0);
        });
      }

      test(`${name} works on a listener without configuration`, async (t) => {
        const server = servers.get(name);
        if (server === undefined) return t.skip(missing.get(name));
        const listener = `${name}-plain`;
        await work(sluice.port(listener), `plain_${io}`, server);
        assert.ok((await verdicts(listener, speaksFirst ? 'learned' : 'matched')) >= 1);
        assert.equal(await verdicts(listener, 'timeout'), 0);
        assert.equal(
          await sluice.metric('sluice_verdict_total', { listener }),
          await sluice.metric('sluice_verdict_total', { listener, verdict: 'opaque' }),
        );
      });
    }
  });
}
