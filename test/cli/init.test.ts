// `sluice init` as a command: what it refuses, what it would do, and, where there may be a network namespace, what the kernel then does.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inherited } from '../support/sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const NAMESPACE = `sluice-init${process.pid}`;

interface Done {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const run = (command: string, ...args: string[]): Done =>
  spawnSync(command, args, { encoding: 'utf8', env: inherited() });
const init = (...args: string[]): Done => run(process.execPath, MAIN, 'init', ...args);

describe('sluice init', () => {
  it('says what it would do', () => {
    const { status, stdout } = init('--simulate', '--ipv6=on', '--inbound-ports-to-ignore=9000', '--proxy-uid=7');
    assert.equal(status, 0);
    const [ipv4, ipv6] = stdout.split('# IPv6');
    for (const text of [ipv4, ipv6]) {
      assert.match(text, /^:PROXY_INIT_REDIRECT - \[0:0\]$/m);
      assert.match(text, /^-A PROXY_INIT_REDIRECT -p tcp -m multiport --dports 4190:4191,9000 -j RETURN /m);
      assert.match(text, /^-A PROXY_INIT_OUTPUT -m owner --uid-owner 7 -j RETURN /m);
      assert.match(text, /^-A OUTPUT -j PROXY_INIT_OUTPUT /m);
    }
  });

  it('refuses what makes no sense, with code 2', () => {
    const cases: [string, RegExp][] = [
      ['--incoming-proxy-port=0', /--incoming-proxy-port: "0" is not a whole number from 1 to 65535/],
      ['--outbound-ports-to-ignore=25,4010-4000', /"4010-4000" ends before it begins/],
      ['--inbound-ports-to-ignore=mysql', /names of ports are known to the injector only/],
      ['--subnets-to-ignore=10.0.0.0/40', /--subnets-to-ignore: .*is not a prefix length/],
      ['--iptables-mode=legcy', /did you mean legacy\?/],
      ['--validate-address=example.com:1', /is not an address with a port/],
      ['--incoming-proxy-port=4140', /4140 is the proxy's port for inbound connections/],
      ['--inbound-port=1', /unknown option --inbound-port/],
    ];
    for (const [arg, message] of cases) {
      const { status, stderr } = init(arg, '--simulate');
      assert.equal(status, 2, arg);
      assert.match(stderr, message);
    }
  });
});

/** Makes a namespace with a way out; why that can't be done here, '' if it could. */
function setUp(): string {
  try {
    const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });
    ip('netns', 'add', NAMESPACE);
    for (const args of [
      ['link', 'set', 'lo', 'up'],
      ['link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'away'],
      ['link', 'set', 'away', 'up'],
      ['link', 'set', 'eth0', 'up'],
      ['addr', 'add', '10.78.0.2/24', 'dev', 'eth0'],
      ['addr', 'add', 'fd78::2/64', 'dev', 'eth0', 'nodad'],
      ['route', 'add', 'default', 'dev', 'eth0'],
      ['-6', 'route', 'add', 'default', 'dev', 'eth0'],
    ])
      ip('-n', NAMESPACE, ...args);
    for (const tool of ['iptables-save', 'ip6tables-save'])
      execFileSync('ip', ['netns', 'exec', NAMESPACE, tool, '-t', 'nat'], { stdio: 'pipe' });
    return '';
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    return said === '' ? String(error) : said;
  }
}

const why = setUp();
after(() => void run('ip', 'netns', 'del', NAMESPACE));

describe('rules in a network namespace', {
  skip: why === '' ? false : `rules need root, ip, iptables and ip6tables: ${why}`,
}, () => {
  const inside = (...command: string[]): Done => run('ip', 'netns', 'exec', NAMESPACE, ...command);
  const sluice = (...args: string[]): Done => inside(process.execPath, MAIN, 'init', ...args);
  const saved = (tool: string): string =>
    inside(`${tool}-save`, '-t', 'nat')
      .stdout.split('\n')
      .filter((line) => line.startsWith('-A'))
      .join('\n');

  it('redirect nothing before they are laid', () => {
    const { status, stderr } = sluice('--validate', '--validate-address=10.78.0.2:20001');
    assert.equal(status, 1);
    assert.match(stderr, /a connection to 10\.78\.0\.2:20001 did not reach port 4140: .*ECONNREFUSED/);
  });

  for (const mode of ['nft', 'legacy'] as const) {
    it(`are the same however often they are laid (${mode})`, (t) => {
      const tool = `iptables-${mode}`;
      const first = sluice(
        `--iptables-mode=${mode}`,
        '--outbound-ports-to-ignore=25,4000-4010',
        '--subnets-to-ignore=10.9.0.0/16',
      );
      if (first.status !== 0 && /not installed|initialize|can't initialize/.test(first.stderr)) {
        t.skip(`${tool} does not work here: ${first.stderr.trim()}`);
        return;
      }
      assert.equal(first.status, 0, first.stderr);
      const rules = saved(tool);
      assert.match(rules, /--dports 25,4000:4010 .*-j RETURN/);
      assert.match(rules, /-s 10\.9\.0\.0\/16 .*-j RETURN/);
      assert.match(saved(`ip6tables-${mode}`), /-j REDIRECT --to-ports 4143/, 'IPv6 is found by itself');
      const again = sluice(
        `--iptables-mode=${mode}`,
        '--outbound-ports-to-ignore=25,4000-4010',
        '--subnets-to-ignore=10.9.0.0/16',
      );
      assert.equal(again.status, 0, again.stderr);
      assert.equal(saved(tool), rules);
      assert.equal(sluice(`--iptables-mode=${mode}`).status, 0);
      assert.doesNotMatch(saved(tool), /4000:4010|10\.9\.0\.0/, 'what is skipped no longer is gone');
      // The older tables and the newer ones work side by side: the next one starts afresh.
      if (mode === 'legacy') return;
      for (const family of ['iptables', 'ip6tables']) {
        assert.equal(
          sluice('--validate', ...(family === 'iptables' ? [] : ['--validate-address=[2001:db8::1]:20001'])).status,
          0,
        );
        inside(`${family}-${mode}`, '-t', 'nat', '-F');
      }
      assert.equal(
        sluice('--validate', '--validate-address=10.78.0.2:20001').status,
        1,
        'without rules it fails again',
      );
    });
  }
});
