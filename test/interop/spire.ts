// SPIRE's server and agent, built by peers/spire.sh (`make spire`). What is not there throws `Missing`, by name.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, Missing, need, type RealServer, run, serve, start, temporary } from '../support/servers.js';
import { eventually } from '../support/sluice.js';

const SCRIPT = fileURLToPath(new URL('../../../test/interop/peers/spire.sh', import.meta.url));
export const TRUST_DOMAIN = 'example.org';
const AGENT = `spiffe://${TRUST_DOMAIN}/agent`;

let folder: string | undefined;

function program(name: 'spire-server' | 'spire-agent'): string {
  folder ??= execFileSync('bash', [SCRIPT, 'where'], { encoding: 'utf8' }).trim();
  try {
    return need(join(folder, name));
  } catch {
    throw new Missing(`${name} is not built (make spire)`);
  }
}

/** Why SPIRE can't be had; false where it can: for `skip`. */
export function lackingSpire(): string | false {
  try {
    program('spire-server');
    program('spire-agent');
    return false;
  } catch (error) {
    if (error instanceof Missing) return error.message;
    throw error;
  }
}

export class Spire {
  private agent: RealServer | null = null;

  private constructor(
    private readonly directory: string,
    private readonly server: RealServer,
  ) {}

  static async start(): Promise<Spire> {
    const directory = temporary('spire', null);
    const port = await freePort();
    mkdirSync(join(directory, 'server'));
    const config = `
server {
  bind_address = "127.0.0.1"
  bind_port = "${port}"
  socket_path = "${directory}/server.sock"
  trust_domain = "${TRUST_DOMAIN}"
  data_dir = "${directory}/server"
  log_level = "WARN"
}
plugins {
  DataStore "sql" { plugin_data { database_type = "sqlite3" connection_string = "${directory}/server/entries.sqlite3" } }
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
}
`;
    writeFileSync(join(directory, 'server.conf'), config);
    const started = start(program('spire-server'), ['run', '-config', join(directory, 'server.conf')], null, directory);
    const server = await serve('spire-server', started, port, directory, 'SIGTERM');
    const spire = new Spire(directory, server);
    await eventually(async () => (await spire.say('healthcheck')).code === 0, 'a healthy server');
    return spire;
  }

  /** Of the Workload API. */
  get socket(): string {
    return join(this.directory, 'agent.sock');
  }

  /** A command of the server's. */
  private say(...args: readonly string[]) {
    return run(program('spire-server'), [...args, '-socketPath', join(this.directory, 'server.sock')]);
  }

  private async done(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.say(...args);
    if (code !== 0) throw new Error(`spire-server ${args.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  }

  async startAgent(): Promise<void> {
    const token = /Token: (\S+)/.exec(await this.done('token', 'generate', '-spiffeID', AGENT))?.[1];
    const own = temporary('spire-agent', null);
    const health = await freePort();
    const config = `
agent {
  server_address = "127.0.0.1"
  server_port = "${this.server.port}"
  socket_path = "${this.socket}"
  trust_domain = "${TRUST_DOMAIN}"
  data_dir = "${own}"
  insecure_bootstrap = true
  join_token = "${token}"
  log_level = "WARN"
  experimental { sync_interval = "1s" }
}
health_checks { listener_enabled = true bind_address = "127.0.0.1" bind_port = "${health}" }
plugins {
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}
`;
    writeFileSync(join(own, 'agent.conf'), config);
    const started = start(program('spire-agent'), ['run', '-config', join(own, 'agent.conf')], null, own);
    this.agent = await serve('spire-agent', started, health, own, 'SIGTERM');
  }

  /** Processes of this user get an identity, good for `seconds`. */
  async register(path: string, seconds: number): Promise<string> {
    const id = `spiffe://${TRUST_DOMAIN}${path}`;
    const who = ['-parentID', AGENT, '-spiffeID', id, '-selector', `unix:uid:${process.getuid?.() ?? 0}`];
    await this.done('entry', 'create', ...who, '-x509SVIDTTL', String(seconds));
    return id;
  }

  async stopAgent(): Promise<void> {
    await this.agent?.stop();
    this.agent = null;
  }

  async stop(): Promise<void> {
    await this.stopAgent();
    await this.server.stop();
  }
}
