// Real servers in injected pods, and their own clients in another: on a port that is opaque by default, on one that an annotation says is, and
// on one that nothing is said about.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { GivenObjects, Kubelet, type RunningPod } from '../support/kubelet.js';
import { startLabIdentity } from '../support/lab-mesh.js';
import { application, injectedPod, plainPod } from '../support/meshed-pods.js';
import { enterLab, type LabService, PodLab } from '../support/pod-lab.js';
import type { ContainerSpec, Probe, Volume } from '../support/pod-objects.js';
import { idsOf, Missing, need, postgresPrograms } from '../support/servers.js';
import { availableExecutors, eventually } from '../support/sluice.js';

const why = enterLab(import.meta.url);

interface Server {
  readonly name: string;
  readonly port: number;
  readonly annotations: Readonly<Record<string, string>>;
  /** Of connections that come in, why they are opaque. */
  readonly reason: string;
  /** Throws `Missing` where it can't be had. */
  container(): Promise<ContainerSpec>;
  readonly volumes: readonly Volume[];
  work(client: RunningPod, server: RunningPod): Promise<void>;
}

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
const data: Volume = { name: 'data', emptyDir: {} };
const shell = (...lines: string[]): string[] => ['sh', '-c', lines.join(' && ')];
const startsWith = (...command: string[]): Probe => ({
  exec: { command },
  periodSeconds: 1,
  failureThreshold: 120,
});

async function succeed(pod: RunningPod, ...command: string[]): Promise<string> {
  const { code, stdout, stderr } = await pod.container('application').exec(command);
  assert.equal(code, 0, `${command.join(' ')}: ${stderr}`);
  return stdout;
}

const POSTGRES: Server = {
  name: 'postgres',
  port: 5432,
  annotations: {},
  reason: 'annotation',
  volumes: [data],
  async container() {
    const { initdb, postgres } = postgresPrograms();
    const { uid, gid } = await idsOf('postgres');
    const psql = ['-h', '127.0.0.1', '-U', 'postgres', '-c', 'select 1'];
    return {
      name: 'application',
      image: 'postgres:test',
      command: shell(
        `${initdb} -D /data/db -A trust -U postgres -N --locale=C -E UTF8`,
        `echo 'host all all all trust' >>/data/db/pg_hba.conf`,
        `exec ${postgres} -D /data/db -h '*' -p 5432 -k /data -c fsync=off`,
      ),
      securityContext: { runAsUser: uid, runAsGroup: gid },
      startupProbe: startsWith(need('psql'), ...psql),
      volumeMounts: [{ name: 'data', mountPath: '/data' }],
    };
  },
  async work(client) {
    const psql = (sql: string) =>
      succeed(client, 'psql', '-h', 'postgres', '-U', 'postgres', '-v', 'ON_ERROR_STOP=1', '-qAtX', '-c', sql);
    await psql('create table rows (id int primary key, text text)');
    await psql('insert into rows select n, repeat(md5(n::text), 4) from generate_series(1, 5000) n');
    const rows = await psql('select id, text from rows order by id');
    const expected = Array.from({ length: 5000 }, (_, i) => `${i + 1}|${md5(String(i + 1)).repeat(4)}\n`).join('');
    assert.equal(md5(rows), md5(expected));
  },
};

const MARIADB: Server = {
  name: 'mariadb',
  port: 4406,
  annotations: { 'config.linkerd.io/opaque-ports': '4406' },
  reason: 'annotation',
  volumes: [data],
  async container() {
    const { uid, gid } = await idsOf('mysql');
    const own = '--no-defaults --datadir=/data/db';
    return {
      name: 'application',
      image: 'mariadb:test',
      command: shell(
        `${need('mariadb-install-db')} ${own} --skip-test-db --skip-name-resolve`,
        `exec ${need('mariadbd')} ${own} --port=4406 --bind-address='*' --socket=/data/socket --pid-file=/data/pid --skip-name-resolve --skip-grant-tables`,
      ),
      securityContext: { runAsUser: uid, runAsGroup: gid },
      startupProbe: startsWith(need('mariadb'), '--no-defaults', '--socket=/data/socket', '-e', 'select 1'),
      volumeMounts: [{ name: 'data', mountPath: '/data' }],
    };
  },
  async work(client) {
    const query = (sql: string) =>
      succeed(client, 'mariadb', '--no-defaults', '-h', 'mariadb', '-P', '4406', '-u', 'root', '-N', '-e', sql);
    await query('create database d; create table d.t (id int primary key, text text)');
    await query('use d; insert into t select seq, repeat(md5(seq), 4) from seq_1_to_5000');
    const rows = await query('select id, text from d.t order by id');
    const expected = Array.from({ length: 5000 }, (_, i) => `${i + 1}\t${md5(String(i + 1)).repeat(4)}\n`).join('');
    assert.equal(md5(rows), md5(expected));
  },
};

const connects =
  "require('net').connect(2525,'127.0.0.1').on('connect',()=>process.exit(0)).on('error',()=>process.exit(1))";

const SMTP: Server = {
  name: 'mail',
  port: 2525,
  annotations: {},
  reason: 'server-first',
  volumes: [data, { name: 'spool', emptyDir: {} }, { name: 'run', emptyDir: {} }],
  async container() {
    const smtpd = need('smtpd');
    need('curl');
    const { uid, gid } = await idsOf('nobody');
    return {
      name: 'application',
      image: 'opensmtpd:test',
      command: shell(
        'mkdir -m 711 /var/spool/smtpd',
        `mkdir /data/mail && chown ${uid}:${gid} /data/mail`,
        `printf '%s\\n' 'listen on 0.0.0.0 port 2525 hostname mail.test' 'table users { "alice@mail.test" = "nobody" }' 'action "deliver" maildir "/data/mail" virtual <users>' 'match from any for any action "deliver"' >/data/config`,
        `exec ${smtpd} -d -f /data/config`,
      ),
      startupProbe: startsWith(process.execPath, '-e', connects),
      volumeMounts: [
        { name: 'data', mountPath: '/data' },
        { name: 'spool', mountPath: '/var/spool' },
        { name: 'run', mountPath: '/run' },
      ],
    };
  },
  async work(client, server) {
    const message = `From: bob@mail.test\nTo: alice@mail.test\nSubject: from a pod\n\n${'A line of text.\n'.repeat(500)}`;
    const script = `printf '${message.replaceAll('\n', '\\r\\n')}' | curl -sS smtp://mail:2525/mail.test --mail-from bob@mail.test --mail-rcpt alice@mail.test -T -`;
    await succeed(client, 'sh', '-c', script);
    const delivered = async (): Promise<boolean> => {
      const { stdout } = await server.container('application').exec(['sh', '-c', 'cat /data/mail/new/*']);
      return stdout.includes('Subject: from a pod') && stdout.split('A line of text.').length === 501;
    };
    await eventually(delivered, 'the message is delivered');
  },
};

describe('a server in a pod', { skip: why === '' ? false : why }, () => {
  let lab: PodLab;
  let kubelet: Kubelet;
  let client: RunningPod;
  const servers = new Map<string, RunningPod | string>();
  const KINDS = [POSTGRES, MARIADB, SMTP] as const;

  before(async () => {
    lab = await PodLab.start();
    const objects = new GivenObjects();
    kubelet = new Kubelet(lab, objects);
    const { mesh, service } = await startLabIdentity(kubelet, objects, ['default/default']);
    const services: LabService[] = [service];
    const executors = await availableExecutors();
    for (const [i, { name, port, annotations, volumes, container }] of KINDS.entries()) {
      try {
        const io = {
          'config.linkerd.io/proxy-additional-env': JSON.stringify([
            { name: 'SLUICE_IO', value: executors[i % executors.length] },
          ]),
        };
        const pod = plainPod(name, { containers: [await container()], volumes });
        const running = kubelet.run(injectedPod(pod, mesh, { ...annotations, ...io }));
        servers.set(name, running);
        const targets = [{ host: running.ip, port }];
        services.push({ name, namespace: 'default', addresses: [`10.96.1.${i + 1}`], ports: [{ port, targets }] });
      } catch (error) {
        if (!(error instanceof Missing)) throw error;
        servers.set(name, error.message);
      }
    }
    lab.setServices(services);
    client = kubelet.run(injectedPod(plainPod('client', { containers: [application()] }), mesh));
    const started = [client, ...servers.values()].filter((pod) => typeof pod !== 'string');
    await Promise.all(started.map((pod) => pod.untilReady()));
  });
  after(async () => {
    await kubelet.stop();
    lab.stop();
  });

  for (const { name, port, reason, work } of KINDS)
    it(`is ${name}, on port ${port}`, async (t) => {
      const server = servers.get(name);
      if (server === undefined || typeof server === 'string') return t.skip(server);
      await work(client, server);
      assert.ok((await server.metric('sluice_verdict_total', { listener: 'inbound', verdict: 'opaque', reason })) > 0);
      assert.ok((await client.metric('sluice_verdict_total', { listener: 'outbound', verdict: 'opaque' })) > 0);
    });
});
