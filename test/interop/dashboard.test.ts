// The dashboard in a browser: narrow and wide, light and dark, by keyboard, as screen readers are given it, over a restart, with names that
// strangers have chosen.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { AdminServer } from '../../src/admin/server.js';
import { SEEN } from '../../src/metrics/layout.js';
import { counted, LIVE_BOUNDS } from '../live/support.js';
import { startSluice } from '../support/sluice.js';
import { lackingChromium } from './chromium.js';
import { faintTexts } from './contrast.js';
import { Chromium } from './devtools.js';

const HOSTILE = '<img src=x onerror=document.title=1>"><script>document.title=2</script>';
const LONG = `spiffe://example.org/${'ns-of-a-very-long-name/'.repeat(8)}`;

if (lackingChromium) console.error(`SKIPPED: the dashboard in a browser: ${lackingChromium}`);

/** A proxy with traffic, of which names are as bad as may be. */
function server(): AdminServer {
  const { reader, requests } = counted();
  reader.services.acquire(HOSTILE);
  reader.setService(2, { name: HOSTILE });
  reader.endpoints.acquire('hostile');
  reader.setEndpoint(3, { service: HOSTILE, address: `${HOSTILE}:80`, tls: { tls: 'true', server_id: LONG } });
  reader.nameClients(0, { series: 0, listener: 1, seen: SEEN.ENDED, identity: HOSTILE });
  reader.nameClients(0, { series: 1, listener: 1, seen: SEEN.ENDED, identity: LONG });
  const traffic = setInterval(() => {
    requests(20, 800);
    requests(5, 3000, 503, 2);
  }, 50);
  traffic.unref();
  const error = { at: Date.now(), reason: HOSTILE, count: 3, listener: 'edge', client: '10.0.0.1:1', identity: LONG };
  return new AdminServer({
    logger: { warn: () => undefined, error: () => undefined },
    ready: () => ({ ok: false, reasons: [HOSTILE] }),
    reader,
    explain: () => ({}),
    getLogLevel: () => 'info',
    setLogLevel: () => undefined,
    version: '1.2.3',
    executor: 'epoll',
    liveBounds: () => LIVE_BOUNDS,
    maxScrapes: 4,
    live: { errors: () => [{ ...error, service: HOSTILE, endpoint: '', rule: '' }], identity: () => HOSTILE },
  });
}

/** A port that stays, in front of a process that may go. */
class Door {
  target = 0;
  private readonly sockets = new Set<Socket>();
  readonly server: Server = createServer((client) => {
    const there = connect(this.target, '127.0.0.1');
    for (const [socket, other] of [
      [client, there],
      [there, client],
    ]) {
      this.sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        this.sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });

  async open(): Promise<string> {
    await once(this.server.listen(0, '127.0.0.1'), 'listening');
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

describe('the dashboard in a browser', { skip: lackingChromium }, () => {
  const admin = server();
  let browser: Chromium;
  let url = '';
  const shown = "document.querySelectorAll('#services tbody tr').length === 2";

  before(async () => {
    await admin.listen({ host: '127.0.0.1', port: 0 });
    url = `http://127.0.0.1:${admin.port}`;
    browser = new Chromium();
  });
  after(async () => {
    await browser.close();
    await admin.close();
  });

  for (const width of [375, 1280])
    for (const scheme of ['light', 'dark'] as const)
      it(`at ${width} px, ${scheme}: fits, asks nobody else, and shows names as text`, async (t) => {
        const tab = await browser.open(width, 800, scheme);
        await tab.go(`${url}/dashboard`);
        await tab.until(shown);
        await tab.until("document.querySelectorAll('.plot canvas').length === 4");
        assert.deepEqual(tab.complaints, []);
        assert.deepEqual([...new Set(tab.requested)].sort(), [`${url}/dashboard`, `${url}/events`]);
        const page = 'document.documentElement';
        assert.ok(await tab.value<boolean>(`${page}.scrollWidth <= ${page}.clientWidth`), 'it scrolls sideways');
        const over = `[...document.querySelectorAll('main *')].filter((node) => node.getClientRects().length > 0
          && node.closest('.plot, .hidden, thead') === null && node.getBoundingClientRect().right > innerWidth + 1).length`;
        assert.equal(await tab.value<number>(over), 0);
        assert.equal(await tab.value<number>("document.querySelectorAll('img, main script').length"), 0);
        assert.equal(await tab.value<string>('document.title'), `Sluice · ${HOSTILE}`);
        for (const section of ['services', 'endpoints', 'clients', 'errors'])
          assert.ok(
            await tab.value<boolean>(
              `document.getElementById('${section}').textContent.includes(${JSON.stringify(HOSTILE)})`,
            ),
          );
        const back = 'getComputedStyle(document.body).backgroundColor';
        const dark = /^rgb\((\d+)/.exec(await tab.value<string>(back))?.[1];
        assert.equal(Number(dark) < 128, scheme === 'dark');
        const paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1";
        t.diagnostic(`first contentful paint after ${Math.round(await tab.value<number>(paint))} ms`);
      });

  it('has names and roles for screen readers, narrow and wide', async () => {
    for (const width of [375, 1280]) {
      const tab = await browser.open(width, 800, 'light');
      await tab.go(`${url}/dashboard`);
      await tab.until(shown);
      await tab.until("document.getElementById('heat').getAttribute('aria-label') !== null");
      const nodes = await tab.accessible();
      const named = (role: string): string[] => nodes.filter((node) => node.role === role).map(({ name }) => name);
      for (const role of ['banner', 'main', 'contentinfo', 'status']) assert.equal(named(role).length, 1, role);
      assert.deepEqual(named('navigation'), ['Sections']);
      assert.ok(named('button').includes('Pause'));
      assert.deepEqual(named('combobox'), ['Service', 'Endpoint']);
      assert.equal(named('image').length, 4);
      for (const name of named('image')) assert.match(name, /all services/);
      assert.ok(named('table').length >= 7, `${named('table')}`);
      for (const role of ['table', 'region', 'heading', 'link', 'button'])
        for (const name of named(role)) assert.notEqual(name, '', role);
      assert.ok(named('rowheader').includes('web'), 'rows have heads');
      if (width > 760) assert.ok(named('columnheader').includes('success'), 'columns have heads');
      // Nothing with a sign alone.
      const flags = await tab.value<string[]>(
        "[...document.querySelectorAll('.flag')].map((cell) => cell.textContent)",
      );
      for (const text of flags) assert.match(text, /⚠ .+ \(.+\)/);
      assert.ok(flags.length > 0);
    }
  });

  it('works by keyboard, and what has the focus is seen', async () => {
    const tab = await browser.open(1280, 800, 'light');
    await tab.go(`${url}/dashboard`);
    await tab.until(shown);
    await tab.press('Tab');
    assert.equal(await tab.value('document.activeElement.textContent'), 'Skip to the figures');
    assert.notEqual(await tab.value('getComputedStyle(document.activeElement).outlineStyle'), 'none');
    await tab.press('Tab');
    assert.equal(await tab.value('document.activeElement.id'), 'pause');
    await tab.press('Space');
    await tab.until("document.activeElement.getAttribute('aria-pressed') === 'true'");
    assert.match(await tab.value<string>("document.getElementById('news').textContent"), /^paused at/);
    await tab.press('Space');
    await tab.until("document.getElementById('news').textContent === 'live'");
    const head = "document.querySelector('#services thead th:nth-child(3)')";
    await tab.value(`${head}.querySelector('button').focus()`);
    await tab.press('Enter');
    await tab.until(`${head}.getAttribute('aria-sort') === 'descending'`);
    assert.equal(await tab.value("document.querySelector('#services tbody th').textContent"), 'web');
    // The row that has the focus keeps it over the next events.
    const before = await tab.value<string>("document.querySelector('#tiles dd').textContent");
    await tab.until(`document.querySelector('#tiles dd').textContent !== ${JSON.stringify(before)}`);
    assert.equal(await tab.value(`document.activeElement === ${head}.querySelector('button')`), true);
  });

  it('plots one service, or one of its endpoints, as chosen by keyboard', async () => {
    const tab = await browser.open(375, 800, 'light');
    await tab.go(`${url}/dashboard`);
    await tab.until(shown);
    const label = "document.getElementById('heat').getAttribute('aria-label')";
    await tab.until(`${label}?.includes('all services')`);
    assert.equal(await tab.value("document.getElementById('endpoint').disabled"), true);
    await tab.value("document.getElementById('chosen').focus()");
    // As typing in a list chooses.
    await tab.press('w', 'KeyW');
    await tab.until(`${label}.startsWith('Latency of web over')`);
    await tab.press('Tab');
    assert.equal(await tab.value('document.activeElement.id'), 'endpoint');
    const offered = "[...document.getElementById('endpoint').options].map(({ text }) => text)";
    const [all, first, second] = await tab.value<string[]>(offered);
    assert.deepEqual([all, first !== undefined && second !== undefined], ['all endpoints', true]);
    await tab.press('ArrowDown');
    for (const plot of ['rate', 'times', 'percentiles', 'heat'])
      await tab.until(`document.getElementById('${plot}').getAttribute('aria-label').includes('${first} of web')`);
    await tab.until(`/from \\S+ to \\S+ ms/.test(${label})`);
    // It stays chosen over the next events, and goes with its service.
    const before = await tab.value<string>("document.querySelector('#tiles dd').textContent");
    await tab.until(`document.querySelector('#tiles dd').textContent !== ${JSON.stringify(before)}`);
    assert.equal(await tab.value("document.getElementById('endpoint').value"), first);
    await tab.value("document.getElementById('chosen').focus()");
    await tab.press('ArrowUp');
    await tab.until("document.getElementById('endpoint').value === ''");
    assert.deepEqual(tab.complaints, []);
  });

  for (const scheme of ['light', 'dark'] as const)
    it(`all its text stands out from what is behind it, ${scheme}, live and old`, async (t) => {
      const tab = await browser.open(1280, 800, scheme);
      await tab.go(`${url}/dashboard`);
      await tab.until(shown);
      for (const state of ['live', 'stale']) {
        await tab.value(`document.body.classList.toggle('stale', ${state === 'stale'})`);
        await tab.until("document.getAnimations().every(({ playState }) => playState === 'finished')");
        const { seen, faint } = await tab.value<{ seen: number; faint: string[] }>(faintTexts(4.5));
        t.diagnostic(`${seen} texts`);
        assert.ok(seen > 100);
        assert.deepEqual(faint, [], state);
      }
    });

  it('says that its figures are old while the proxy is away, and goes on with the next one', async (t) => {
    const yaml =
      'listeners: [{ name: edge, listen: "127.0.0.1:0", service: web }]\nservices: { web: { endpoints: ["127.0.0.1:1"] } }';
    const door = new Door();
    const address = await door.open();
    t.after(() => door.close());
    const first = await startSluice(yaml, 'auto');
    t.after(() => first.stop());
    door.target = first.adminPort;
    const tab = await browser.open(375, 800, 'light');
    const news = "String(document.getElementById('news')?.textContent)";
    await tab.go(`${address}/dashboard`);
    await tab.until(`${news} === 'live'`);
    await first.stop();
    await tab.until(`document.body?.classList.contains('stale') && ${news}.startsWith('no news since')`);
    const second = await startSluice(yaml, 'auto');
    t.after(() => second.stop());
    door.target = second.adminPort;
    await tab.until(`!document.body?.classList.contains('stale') && ${news}.startsWith('live, restarted at')`);
    assert.deepEqual(tab.complaints, []);
  });
});
