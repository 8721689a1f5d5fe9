// The rules that are laid: their order, and what one rule takes.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseNetwork } from '../../src/config/networks.js';
import { applyRules, hookedChains, type Outcome, RedirectError, type Run } from '../../src/redirect/apply.js';
import { parsePortList } from '../../src/redirect/port-list.js';
import {
  inboundRules,
  multiports,
  outboundRules,
  type Redirect,
  type Rule,
  restoreInput,
} from '../../src/redirect/rules.js';

const plain: Redirect = {
  inboundPort: 4143,
  outboundPort: 4140,
  proxyUid: 2102,
  proxyGid: null,
  skipInbound: [],
  skipOutbound: [],
  skipSubnets: [],
  onlyInbound: [],
};

/** Without its comment. */
const bare = (rule: Rule): string => rule.slice(0, rule.indexOf('comment') - 1).join(' ');
const spans = (text: string) => parsePortList(text).spans;

describe('rules', () => {
  it('lead what goes out to the proxy, but not what is its own, what stays in the pod, and what is skipped', () => {
    const redirect = { ...plain, proxyGid: 7, skipOutbound: spans('25,4567-4568') };
    assert.deepEqual(outboundRules(redirect).map(bare), [
      '-m owner --uid-owner 2102 -j RETURN',
      '-m owner --gid-owner 7 -j RETURN',
      '-o lo -j RETURN',
      '-p tcp -m multiport --dports 25,4567:4568 -j RETURN',
      '-p tcp -j REDIRECT --to-ports 4140',
    ]);
  });

  it('lead what comes in to the proxy, but not ports and networks that are skipped', () => {
    const redirect = {
      ...plain,
      skipInbound: spans('4190,4191,9000'),
      skipSubnets: ['10.0.0.0/8', 'fd00::/8'].map(parseNetwork),
    };
    const skip = '-p tcp -m multiport --dports 4190:4191,9000 -j RETURN';
    const rest = '-p tcp -j REDIRECT --to-ports 4143';
    assert.deepEqual(inboundRules(redirect, 4).map(bare), [skip, '-s 10.0.0.0/8 -j RETURN', rest]);
    assert.deepEqual(inboundRules(redirect, 6).map(bare), [skip, '-s fd00::/8 -j RETURN', rest]);
    const only = inboundRules({ ...plain, onlyInbound: spans('80,443') }, 4);
    assert.deepEqual(only.map(bare), ['-p tcp -m multiport --dports 80,443 -j REDIRECT --to-ports 4143']);
  });

  it('have networks in the words of their family, however they were written', () => {
    const skipSubnets = ['::ffff:10.0.0.0/104', '::ffff:192.0.2.1', 'fd00::1'].map(parseNetwork);
    const networks = (family: 4 | 6): (string | undefined)[] =>
      inboundRules({ ...plain, skipSubnets }, family)
        .filter(([flag]) => flag === '-s')
        .map(([, network]) => network);
    assert.deepEqual(networks(4), ['10.0.0.0/8', '192.0.2.1/32']);
    assert.deepEqual(networks(6), ['fd00::1']);
  });

  it('take 15 ports each, of which a range is two', () => {
    const even = (count: number): string => Array.from({ length: count }, (_, i) => 2 * i + 2).join();
    assert.equal(multiports(spans(even(15))).length, 1);
    assert.deepEqual(
      multiports(spans(even(16))).map((list) => list.split(',').length),
      [15, 1],
    );
    const mixed = multiports(spans(`${even(14)},100-200,300`));
    assert.deepEqual(
      mixed.map((list) => list.split(',').length),
      [14, 2],
      'a range does not fit into the last place',
    );
    assert.deepEqual(multiports([]), []);
  });

  it('are hooked in once', () => {
    const first = restoreInput(plain, 4, new Set());
    assert.equal(hookedChains(first).size, 2);
    assert.equal(hookedChains(restoreInput(plain, 4, hookedChains(first))).size, 0);
    assert.equal(hookedChains('-A PREROUTING -j PROXY_INIT_REDIRECT_OLD').size, 0);
  });
});

describe('laying rules', () => {
  const NOTHING = '-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n';
  const done = (stdout = ''): Outcome => ({ status: 0, stdout, stderr: '' });
  const failed = (stderr: string): Outcome => ({ status: 1, stdout: '', stderr });
  const options = { mode: 'auto', waitSeconds: 1 } as const;

  /** Tools by name; what they lack is not installed. */
  const tools =
    (known: Record<string, (input: string) => Outcome>): Run =>
    (command, _, input = '') =>
      known[command]?.(input) ?? { status: null, stdout: '', stderr: 'it is not installed' };

  it('takes the first tool that works', () => {
    let table = NOTHING;
    const run = tools({
      iptables: () => failed('iptables: Failed to initialize nft: Protocol not supported\nmore'),
      'iptables-legacy': () => done(table),
      'iptables-legacy-restore': (input) => {
        table = input;
        return done();
      },
    });
    assert.equal(applyRules(plain, 4, options, run).command, 'iptables-legacy');
  });

  it('says which tool said what, and what to do', () => {
    const cases: [Run, 4 | 6, RegExp][] = [
      [tools({}), 4, /^no rules for IPv4: iptables: it is not installed; iptables-nft: .*; install iptables, or name/],
      [tools({}), 6, /^no rules for IPv6: ip6tables: it is not installed; .*--ipv6=off/],
      [
        tools({
          iptables: () =>
            failed('iptables v1.8.9 (nf_tables): Could not fetch rule set: Permission denied (you must be root)'),
        }),
        4,
        /rules need root with NET_ADMIN and NET_RAW/,
      ],
      [
        tools({ iptables: () => done(NOTHING), 'iptables-restore': () => failed('iptables-restore: line 3 failed\n') }),
        4,
        /^no rules for IPv4: iptables-restore: iptables-restore: line 3 failed/,
      ],
      [
        tools({ iptables: () => done(NOTHING), 'iptables-restore': () => done() }),
        4,
        /^iptables: the rules for IPv4 differ from what was written/,
      ],
    ];
    for (const [run, family, message] of cases)
      assert.throws(
        () => applyRules(plain, family, options, run),
        (error) => error instanceof RedirectError && message.test(error.message),
      );
  });
});
