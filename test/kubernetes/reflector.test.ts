// A collection is followed through everything that an API server, or what is in front of it, may do wrong: nothing that was known is lost.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ApiClient, type ClientLimits } from '../../src/kubernetes/client.js';
import { objectIn, textIn } from '../../src/kubernetes/json.js';
import { Reflector, type ReflectorTimes } from '../../src/kubernetes/reflector.js';
import { type Asked, answer, FaultyApi, refuse } from '../support/faulty-api.js';
import { Waiting } from '../support/waiting.js';

const PATH = '/api/v1/things';

const thing = (name: string, version: number, text = '') => ({
  metadata: { name, resourceVersion: String(version) },
  text,
});
const event = (type: string, name: string, version: number, text = ''): string =>
  `${JSON.stringify({ type, object: thing(name, version, text) })}\n`;
const isWatch = ({ query }: Asked): boolean => query.has('watch');

/** A copy, and what was done to it. */
class Copy {
  readonly all = new Map<string, string>();
  readonly waiting = new Waiting();
  lists = 0;

  replace(all: readonly { name: string; text: string }[]): void {
    this.lists++;
    this.all.clear();
    for (const one of all) this.all.set(one.name, one.text);
    this.waiting.wake();
  }

  changed({ name, text }: { name: string; text: string }): void {
    this.all.set(name, text);
    this.waiting.wake();
  }

  removed({ name }: { name: string }): void {
    this.all.delete(name);
    this.waiting.wake();
  }

  get names(): string {
    return [...this.all.keys()].sort().join(' ');
  }

  until(names: string): Promise<void> {
    return this.waiting.until(
      () => this.names === names,
      () => `${names} instead of ${this.names}`,
    );
  }
}

describe('a reflector', () => {
  let api: FaultyApi;
  let copy: Copy;
  let client: ApiClient;
  let reflector: Reflector<{ name: string; text: string }>;
  /** What each request is answered with, in their order; the last goes on. */
  let answers: ((asked: Asked) => void)[];

  /** How long waits were to be; they are all over at once. */
  let waits: number[];

  const start = (limits: Partial<ClientLimits> = {}, times: Partial<ReflectorTimes> = {}): void => {
    client = new ApiClient(api.access, limits);
    const clock = {
      now: () => 1_000_000,
      set: (callback: () => void, delayMs: number): unknown => {
        waits.push(delayMs);
        return setImmediate(callback);
      },
      clear: (timer: unknown) => clearImmediate(timer as NodeJS.Immediate),
    };
    reflector = new Reflector<{ name: string; text: string }>(
      {
        client,
        path: PATH,
        query: { labelSelector: 'a' },
        read: (object) => {
          const name = textIn(objectIn(object, 'metadata'), 'name');
          if (name === 'poison') throw new Error('nobody can read this');
          return name === '' ? null : { name, text: textIn(object, 'text') };
        },
        sink: copy,
        times,
        statusChanged: () => copy.waiting.wake(),
      },
      { clock, random: () => 0.5 },
    );
    reflector.start();
  };

  beforeEach(async () => {
    api = await FaultyApi.start();
    copy = new Copy();
    answers = [];
    waits = [];
    api.script = (asked) => {
      const next = answers.length > 1 ? answers.shift() : answers[0];
      next?.(asked);
    };
  });
  afterEach(async () => {
    reflector.stop();
    client.close();
    await api.stop();
  });

  const page =
    (names: readonly string[], version: number, next = '') =>
    (asked: Asked): void =>
      answer(asked, {
        items: names.map((name) => thing(name, 1)),
        metadata: { resourceVersion: String(version), continue: next },
      });
  /** A watch with these events, that stays open unless it `ends`. */
  const watch =
    (events: string, ends = false) =>
    ({ response }: Asked): void => {
      response.writeHead(200).write(events);
      if (ends) response.end();
    };
  const asked = (index: number): string => {
    const { query } = api.asked[index];
    const watching = query.get('watch') === 'true' ? 'watch' : 'list';
    return `${watching} ${query.get('resourceVersion') ?? query.get('continue') ?? ''}`.trim();
  };
  const until = (what: string, condition: () => boolean): Promise<void> => copy.waiting.until(condition, () => what);

  it('lists page by page, then watches from there on', async () => {
    answers = [
      page(['a'], 10, 'more'),
      page(['b', 'c'], 10),
      watch(event('ADDED', 'd', 11) + event('DELETED', 'a', 12)),
    ];
    start({}, { page: 2 });
    await copy.until('b c d');
    assert.deepEqual([asked(0), asked(1), asked(2)], ['list', 'list more', 'watch 10']);
    const { query } = api.asked[2];
    assert.deepEqual(
      [query.get('allowWatchBookmarks'), query.get('labelSelector'), query.get('timeoutSeconds')],
      ['true', 'a', '450'],
    );
    assert.equal(api.asked[0].query.get('limit'), '2');
    assert.equal(copy.lists, 1);
    assert.ok(reflector.status.synced && reflector.status.heardMs > 0);
  });

  it('goes on where a watch has ended, or broken off, by events and bookmarks', async () => {
    answers = [
      page(['a'], 10),
      watch(event('ADDED', 'b', 11) + event('BOOKMARK', '', 20), true),
      (request) => {
        watch(event('ADDED', 'c', 21))(request);
        setImmediate(() => api.cut());
      },
      watch(`${event('ADDED', 'd', 22)}{"type":"MOD`, true),
      watch(event('ADDED', 'e', 23)),
    ];
    start();
    await copy.until('a b c d e');
    assert.deepEqual(
      [asked(1), asked(2), asked(3).slice(0, 6), asked(4).slice(0, 6)],
      ['watch 10', 'watch 20', 'watch ', 'watch '],
    );
    assert.equal(copy.lists, 1);
    assert.equal(reflector.status.problem, null);
  });

  for (const [how, forget] of [
    ['the status', (request: Asked) => refuse(request, 410, 'Expired', 'too old')],
    [
      'an event',
      watch(`${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } })}\n`),
    ],
    ['a version of before', watch(event('BOOKMARK', '', 9))],
  ] as const) {
    it(`lists again, at once, when the version is gone by ${how}, and keeps what it knows until then`, async () => {
      let listed: (() => void) | null = null;
      const seen: string[] = [];
      answers = [
        page(['a', 'b'], 10),
        forget,
        (request) => {
          seen.push(copy.names);
          listed = () => page(['b', 'c'], 30)(request);
        },
        watch(event('ADDED', 'd', 31)),
      ];
      start();
      await api.arrived.until(
        () => listed !== null,
        () => 'the second list',
      );
      assert.deepEqual(seen, ['a b']);
      (listed as (() => void) | null)?.();
      await copy.until('b c d');
      assert.deepEqual([asked(2), asked(3), waits.length], ['list', 'watch 30', 0]);
    });
  }

  it('begins the list anew, with larger pages, when its version is gone in the middle', async () => {
    answers = [
      page(['a'], 10, 'more'),
      (request) => refuse(request, 410, 'Expired', 'continue'),
      page(['b'], 20),
      watch(''),
    ];
    start();
    await copy.until('b');
    assert.deepEqual([asked(1), asked(2), api.asked[2].query.get('limit')], ['list more', 'list', '1000']);
  });

  it('waits for as long as the server asks, and longer each time', async () => {
    answers = [
      page(['a'], 10),
      (request) => refuse(request, 429, 'TooManyRequests', 'wait', { 'retry-after': '7' }),
      (request) => refuse(request, 503, 'ServiceUnavailable', 'wait', { 'retry-after': '1' }),
      (request) => refuse(request, 500, 'InternalError', 'etcd'),
      watch(event('ADDED', 'b', 11)),
    ];
    start();
    await copy.until('a b');
    assert.deepEqual(waits, [7350, 1050, 600], 'half of each wait of our own is by chance');
    assert.equal(copy.lists, 1, 'a server that is away has forgotten nothing');
    assert.equal(reflector.status.failures.status, 3);
  });

  it('says what is wrong, and keeps what it knows, while it is forbidden', async () => {
    answers = [page(['a'], 10), (request) => refuse(request, 403, 'Forbidden', 'things is forbidden')];
    start();
    await until('three refusals', () => reflector.status.failures.status >= 3);
    assert.equal(copy.names, 'a');
    assert.match(reflector.status.problem ?? '', /^(WATCH|GET) \/api\/v1\/things: status 403 \(things is forbidden\)$/);
    answers = [(request) => (isWatch(request) ? watch(event('ADDED', 'c', 31))(request) : page(['b'], 30)(request))];
    await copy.until('b c');
    assert.equal(reflector.status.problem, null);
  });

  it('survives garbage, huge events, silence and nonsense', async () => {
    const good = event('ADDED', 'b', 11);
    answers = [
      (request) => answer(request, '<html>'),
      (request) => answer(request, { items: 7 }),
      (request) =>
        answer(request, {
          items: [null, 7, { metadata: 1 }, thing('poison', 1), thing('a', 1)],
          metadata: { resourceVersion: '10' },
        }),
      watch('<html>\n'),
      watch(`${good}${event('ADDED', 'huge', 12, 'x'.repeat(5000))}`),
      watch('{"type":"ADDED","object":null}\n'),
      watch(''),
      watch(event('ADDED', 'c', 13)),
    ];
    start({ maxEventBytes: 2000, silenceMs: 1000 });
    await copy.until('a b c');
    assert.equal(copy.lists, 1);
    assert.deepEqual([asked(4), asked(5)], ['watch 10', 'watch 11']);
    const { failures, unreadable } = reflector.status;
    assert.deepEqual([failures.garbage, failures['too-large'], failures.timeout, unreadable], [4, 1, 1, 2]);
  });

  it('lists again when events can never be had from where it is', async () => {
    answers = [
      (request) => (isWatch(request) ? watch('nonsense\n')(request) : page([`after-${copy.lists}`], 10)(request)),
    ];
    start();
    await copy.until('after-1');
    assert.equal(reflector.status.failures.garbage, 3);
  });

  it('asks for smaller pages where they are too large', async () => {
    answers = [
      (request) => {
        const limit = Number(request.query.get('limit'));
        page(
          Array.from({ length: limit }, (_, index) => `thing-with-a-long-name-${index}`),
          10,
        )(request);
      },
    ];
    start({ maxPageBytes: 2000, callMs: 5000 }, { page: 100 });
    await until('a list', () => copy.lists > 0);
    assert.equal(copy.all.size, 12);
  });

  it('does not ask without end where every watch ends at once', async () => {
    answers = [(request) => (isWatch(request) ? watch('', true)(request) : page(['a'], 10)(request))];
    start();
    await until('waiting', () => waits.length >= 6);
    assert.deepEqual(waits.slice(0, 4), [150, 300, 600, 1200]);
    assert.equal(copy.lists, 1);
  });
});
