// The dashboard: receives the proxy's state every second, and shows it.
import type { LiveState } from '../../live/state.js';
import { byId, element, setText } from './dom.js';
import { Feed } from './feed.js';
import { bytes, clock, count, ms, percent, rate } from './format.js';
import { HeatMap } from './heat-map.js';
import { History, subjectOf } from './history.js';
import { Plots } from './plots.js';
import { tables } from './sections.js';

const TILES: readonly (readonly [name: string, text: (state: LiveState) => string])[] = [
  ['requests/s', ({ total }) => rate(total.requests)],
  ['success', ({ total }) => percent(total.success)],
  ['p50', ({ total }) => `${ms(total.latency?.p50)} ms`],
  ['p95', ({ total }) => `${ms(total.latency?.p95)} ms`],
  ['p99', ({ total }) => `${ms(total.latency?.p99)} ms`],
  ['p99.9', ({ total }) => `${ms(total.latency?.p999)} ms`],
  ['connections', ({ total }) => count(total.connections)],
  ['new connections/s', ({ total }) => rate(total.opened)],
  ['from clients', ({ total }) => `${bytes(total.read)}/s`],
  ['to clients', ({ total }) => `${bytes(total.written)}/s`],
  [
    'CPU of workers',
    ({ workers }) =>
      percent(
        workers.reduce((sum, { cpu }) => sum + cpu, 0),
        1,
      ),
  ],
  ['longest turn', ({ workers }) => `${ms(Math.max(0, ...workers.map(({ turnMax }) => turnMax ?? 0)))} ms`],
];

class Page {
  private readonly history = new History();
  private readonly plots = new Plots();
  private readonly heat = new HeatMap();
  private readonly show = tables();
  private readonly values = TILES.map(([name]) => {
    const value = element('dd', {}, '–');
    byId('tiles').append(element('div', {}, element('dt', {}, name), value));
    return value;
  });
  private readonly chosen = byId('chosen') as HTMLSelectElement;
  private readonly endpoint = byId('endpoint') as HTMLSelectElement;
  private readonly pause = byId('pause');
  /** The message while the figures are paused; empty: they are not. */
  private paused = '';
  private restarted = '';
  private last: LiveState | null = null;

  constructor() {
    for (const section of document.querySelectorAll('main section')) {
      const title = section.querySelector('h2')?.textContent ?? '';
      byId('sections').append(element('li', {}, element('a', { href: `#${section.id}` }, title)));
    }
    this.chosen.addEventListener('change', () => {
      this.endpoint.value = '';
      if (this.last !== null) this.choices(this.last);
      this.draw();
    });
    this.endpoint.addEventListener('change', () => this.draw());
    this.pause.addEventListener('click', () => this.togglePause());
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.plots.recolour();
      this.heat.draw();
    });
  }

  state(state: LiveState): void {
    const { last } = this;
    if (last !== null && (last.pid !== state.pid || Math.abs(last.started - state.started) > 2000))
      this.restarted = `, restarted at ${clock(state.started)}`;
    this.last = state;
    this.history.add(state);
    document.body.classList.remove('stale');
    this.tell(this.paused === '' ? `live${this.restarted}` : this.paused);
    if (this.paused !== '') return;
    this.render(state);
  }

  stale(at: number): void {
    document.body.classList.add('stale');
    this.tell(at === 0 ? 'no connection to the proxy; trying again' : `no news since ${clock(at)}; trying again`);
  }

  private render(state: LiveState): void {
    const { identity, version, executor, started, ready } = state;
    const who = identity === '' ? '' : `${identity} · `;
    const phase = ready.ok ? 'ready' : `not ready: ${ready.reasons.join('; ')}`;
    setText(
      byId('about'),
      `${who}${version} on ${executor}, since ${new Date(started).toLocaleString('en-GB')}, ${phase}`,
    );
    document.title = identity === '' ? 'Sluice' : `Sluice · ${identity}`;
    for (const [index, [, text]] of TILES.entries()) setText(this.values[index], text(state));
    this.show(state);
    this.choices(state);
    this.draw();
  }

  private choices({ services, endpoints }: LiveState): void {
    offer(this.chosen, services.map(({ name }) => name).sort());
    const service = this.chosen.value;
    const own = endpoints.filter((endpoint) => service !== '' && endpoint.service === service);
    offer(this.endpoint, own.map(({ address }) => address).sort());
    this.endpoint.disabled = service === '';
  }

  private draw(): void {
    const subject = subjectOf(this.chosen.value, this.endpoint.value);
    const frames = this.history.of(subject);
    this.plots.show(subject, frames);
    this.heat.show(subject, frames);
  }

  private togglePause(): void {
    const { last } = this;
    this.paused = this.paused === '' ? `paused at ${clock(last?.at ?? Date.now())}` : '';
    this.pause.setAttribute('aria-pressed', String(this.paused !== ''));
    if (this.paused !== '') this.tell(this.paused);
    else if (last !== null) this.render(last);
    if (this.paused === '' && !document.body.classList.contains('stale')) this.tell(`live${this.restarted}`);
  }

  /** Screen readers announce this, so it is only written when it changes. */
  private tell(text: string): void {
    setText(byId('news'), text);
  }
}

/** The choices after the first, which always stays. Unchanged lists are not touched, because the list may be open. */
function offer(select: HTMLSelectElement, values: readonly string[]): void {
  const options = [...select.options].slice(1);
  if (options.map((option) => option.value).join('\n') === values.join('\n')) return;
  const { value } = select;
  for (const option of options) option.remove();
  for (const name of values) select.append(element('option', { value: name }, name));
  select.value = values.includes(value) ? value : '';
}

new Feed('events', new Page());
