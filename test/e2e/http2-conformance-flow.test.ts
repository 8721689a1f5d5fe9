// RFC 9113 sections 5.2 and 6.9: windows, kept by Sluice towards a slow reader and enforced against a fast writer, in both
// directions of an exchange.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { END_STREAM, PADDED, padded, type SettingValues } from '../support/h2-frames.js';
import type { H2Peer } from '../support/h2-peer.js';
import { fewBuffers } from '../support/sluice.js';
import { type Bench, onEachExecutor, ROLES, type Role } from './http2-conformance-support.js';

/** Content under way through Sluice: role `server` is a response towards a client, `client` a request towards an endpoint. */
interface Flow {
  readonly on: Bench;
  readonly receiver: H2Peer;
  /** The stream on the receiver's connection. */
  readonly to: number;
  readonly sender: H2Peer;
  readonly from: number;
  /** Begins another flow between the same two. */
  another(): Promise<Flow>;
}

async function flow(on: Bench, role: Role, client: H2Peer): Promise<Flow> {
  const { asked, endpoint, arrived } = await on.exchange({ body: role === 'client' ? 'open' : 'ended', client });
  const another = (): Promise<Flow> => flow(on, role, client);
  if (role === 'client') return { on, receiver: endpoint, to: arrived, sender: client, from: asked, another };
  endpoint.headers(arrived, { ':status': '200' });
  await client.expect('HEADERS', { stream: asked });
  return { on, receiver: client, to: asked, sender: endpoint, from: arrived, another };
}

/** Plays with a receiver that gives no credit by itself and has announced `settings`. */
async function through(
  on: Bench,
  role: Role,
  settings: SettingValues,
  play: (flow: Flow) => Promise<void>,
): Promise<void> {
  const manual = { credit: false };
  if (role === 'server') {
    await on.play(async () => play(await flow(on, role, await on.client(manual, settings))));
    return;
  }
  await on.greeting(
    (peer) => void peer.settings(settings),
    manual,
    async () => play(await flow(on, role, await on.client())),
  );
}

/** Waits for this much of the content, and checks that no more comes. */
async function gets({ receiver, to }: Flow, text: string): Promise<void> {
  let heard = '';
  while (heard.length < text.length)
    heard += (await receiver.expect('DATA', { stream: to })).payload.toString('latin1');
  assert.equal(heard, text);
  await nothing(receiver, to);
}

async function nothing(receiver: H2Peer, stream: number): Promise<void> {
  await receiver.sync();
  assert.equal(receiver.arrived('DATA', stream).length, 0, 'DATA beyond the window');
}

/** Takes `octets` of content off, giving no credit. */
async function takes(receiver: H2Peer, stream: number, octets: number): Promise<void> {
  for (let left = octets; left > 0; ) {
    const { payload } = await receiver.expect('DATA', { stream });
    left -= payload.length;
    assert.ok(left >= 0);
  }
}

const WINDOW_OF_RECEIVER: readonly (readonly [
  section: string,
  what: string,
  settings: SettingValues,
  play: (flow: Flow) => Promise<void>,
])[] = [
  [
    '6.9.1',
    "a stream's window is kept to the octet",
    { INITIAL_WINDOW_SIZE: 1 },
    async (flow) => {
      flow.sender.data(flow.from, 'hello', END_STREAM);
      await gets(flow, 'h');
      flow.receiver.windowUpdate(flow.to, 2);
      await gets(flow, 'el');
      flow.receiver.windowUpdate(flow.to, 100);
      await gets(flow, 'lo');
    },
  ],
  [
    '6.9.2',
    'SETTINGS open the windows of streams that wait',
    { INITIAL_WINDOW_SIZE: 0 },
    async (flow) => {
      flow.sender.data(flow.from, 'hello', END_STREAM);
      await nothing(flow.receiver, flow.to);
      await flow.receiver.settings({ INITIAL_WINDOW_SIZE: 3 });
      await gets(flow, 'hel');
      await flow.receiver.settings({ INITIAL_WINDOW_SIZE: 5 });
      await gets(flow, 'lo');
    },
  ],
  [
    '6.9.2',
    'SETTINGS make a window negative',
    { INITIAL_WINDOW_SIZE: 3 },
    async (flow) => {
      flow.sender.data(flow.from, 'hello', END_STREAM);
      await gets(flow, 'hel');
      await flow.receiver.settings({ INITIAL_WINDOW_SIZE: 1 });
      flow.receiver.windowUpdate(flow.to, 2);
      await nothing(flow.receiver, flow.to);
      flow.receiver.windowUpdate(flow.to, 1);
      await gets(flow, 'l');
      flow.receiver.windowUpdate(flow.to, 1);
      await gets(flow, 'o');
    },
  ],
  [
    '6.9.1',
    "the connection's window is kept to the octet, whatever SETTINGS say (6.9.2)",
    { INITIAL_WINDOW_SIZE: 200_000 },
    async (flow) => {
      const done = flow.sender.pour(flow.from, Buffer.alloc(70_000, 'x'), END_STREAM);
      await takes(flow.receiver, flow.to, 65_535);
      await nothing(flow.receiver, flow.to);
      await flow.receiver.settings({ INITIAL_WINDOW_SIZE: 300_000 });
      await nothing(flow.receiver, flow.to);
      flow.receiver.windowUpdate(0, 1);
      await gets(flow, 'x');
      flow.receiver.windowUpdate(0, 70_000);
      await takes(flow.receiver, flow.to, 70_000 - 65_536);
      await done;
    },
  ],
  [
    '6.9.1',
    'an end without content needs no window',
    { INITIAL_WINDOW_SIZE: 0 },
    async ({ sender, from, receiver, to }) => {
      sender.data(from, '', END_STREAM);
      await receiver.expect('DATA', { stream: to, endStream: true });
    },
  ],
  [
    '6.9',
    'trailers need no window, but wait for the content before them',
    { INITIAL_WINDOW_SIZE: 0 },
    async (flow) => {
      const { sender, from, receiver, to, another } = flow;
      sender.data(from, 'content');
      sender.headers(from, { 'x-end': '1' }, END_STREAM);
      const other = await another();
      other.sender.headers(other.from, { 'x-end': '2' }, END_STREAM);
      await receiver.expect('HEADERS', { stream: other.to, endStream: true });
      assert.equal(receiver.arrived('HEADERS', to).length, 0);
      receiver.windowUpdate(to, 100);
      await gets(flow, 'content');
      await receiver.expect('HEADERS', { stream: to, endStream: true });
    },
  ],
  [
    '5.2',
    'a stream that waits holds no other up',
    { INITIAL_WINDOW_SIZE: 0 },
    async (flow) => {
      const second = await flow.another();
      const third = await flow.another();
      for (const { sender, from } of [flow, second, third]) sender.data(from, 'hello', END_STREAM);
      flow.receiver.windowUpdate(third.to, 5);
      await gets(third, 'hello');
      flow.receiver.windowUpdate(flow.to, 5);
      await gets(flow, 'hello');
      assert.equal(flow.receiver.arrived('DATA', second.to).length, 0);
      flow.receiver.windowUpdate(second.to, 5);
      await gets(second, 'hello');
    },
  ],
  [
    '5.2',
    "streams that wait for the connection's window share it",
    { INITIAL_WINDOW_SIZE: 100_000 },
    async (flow) => {
      const filled = flow.sender.pour(flow.from, Buffer.alloc(65_535));
      await takes(flow.receiver, flow.to, 65_535);
      await filled;
      const second = await flow.another();
      const third = await flow.another();
      for (const { sender, from } of [second, third]) sender.data(from, 'hello', END_STREAM);
      await nothing(flow.receiver, second.to);
      flow.receiver.windowUpdate(0, 10);
      await takes(flow.receiver, second.to, 5);
      await takes(flow.receiver, third.to, 5);
    },
  ],
  [
    '6.9',
    'a window of 2^31-1 is used',
    { INITIAL_WINDOW_SIZE: 2 ** 31 - 1 },
    async (flow) => {
      flow.receiver.windowUpdate(0, 2 ** 31 - 1 - 65_535);
      const done = flow.sender.pour(flow.from, Buffer.alloc(300_000), END_STREAM);
      await takes(flow.receiver, flow.to, 300_000);
      await done;
    },
  ],
];

const big = Buffer.alloc(1 << 20, 'z');

await onEachExecutor('HTTP/2 flow control', {}, (bench) => {
  for (const role of ROLES) {
    const towards = role === 'server' ? 'towards a client' : 'towards an endpoint';
    const against = role === 'server' ? 'by an endpoint' : 'by a client';

    for (const [section, what, settings, play] of WINDOW_OF_RECEIVER) {
      it(`${section} ${what}, ${towards}`, () => through(bench(), role, settings, play));
    }

    it(`6.9 a mebibyte passes, windows being given back, ${towards}`, () =>
      bench().play(async () => {
        const on = bench();
        const { receiver, to, sender, from } = await flow(on, role, await on.client());
        const done = sender.pour(from, big, END_STREAM);
        await takes(receiver, to, big.length);
        await done;
      }));

    it(`6.9 padding is given back too, ${against}`, () =>
      bench().play(async () => {
        const on = bench();
        const { receiver, to, sender, from } = await flow(on, role, await on.client());
        const frames = 1000;
        const payload = padded(Buffer.from('hello'), 255);
        const done = (async () => {
          for (let i = 0; i < frames; i++) {
            await sender.when(() => sender.room(from) >= payload.length, `room for padded frame ${i}`);
            sender.charge(from, payload.length);
            sender.frame('DATA', i === frames - 1 ? PADDED | END_STREAM : PADDED, from, payload);
          }
        })();
        await takes(receiver, to, 5 * frames);
        await done;
      }));

    it(`6.9.1 more than a stream's window is FLOW_CONTROL_ERROR, ${against}`, () =>
      through(bench(), role, { INITIAL_WINDOW_SIZE: 0 }, async ({ sender, from, receiver, to }) => {
        await sender.sync();
        const room = sender.room(from);
        await sender.pour(from, Buffer.alloc(room));
        await sender.sync();
        assert.equal(sender.room(from), 0, 'credit though nothing can go on');
        sender.data(from, Buffer.alloc(1));
        await sender.when(
          () => sender.arrived('RST_STREAM', from).length > 0 || sender.arrived('GOAWAY').length > 0,
          'RST_STREAM or GOAWAY',
        );
        const [frame] = [...sender.arrived('RST_STREAM', from), ...sender.arrived('GOAWAY')];
        assert.equal(frame?.code, 'FLOW_CONTROL_ERROR');
        await receiver.expect('RST_STREAM', { stream: to });
      }));

    it(`6.9.2 empty DATA at a window of zero is borne, ${against}`, () =>
      through(bench(), role, { INITIAL_WINDOW_SIZE: 0 }, async ({ sender, from, receiver, to }) => {
        await sender.sync();
        await sender.pour(from, Buffer.alloc(sender.room(from)));
        sender.data(from, '', END_STREAM);
        await sender.sync();
        receiver.windowUpdate(0, 1 << 20);
        receiver.windowUpdate(to, 1 << 20);
        await receiver.when(() => receiver.arrived('DATA', to).some(({ endStream }) => endStream), 'the end');
      }));
  }

  it('afterwards serves others', () => bench().play(() => bench().serves()));
});

// What is held is not given back to the connection while memory is short.
const SMALL = `limits:
  slab: 1MiB
  http2: { connectionWindow: 64KiB, streamWindow: 64KiB, maxStreamWindow: 64KiB, maxBuffered: 1MiB, maxProvokedResets: 1000000 }`;

await onEachExecutor("HTTP/2 flow control at a small connection's window", { limits: null, top: SMALL }, (bench) => {
  for (const role of ROLES) {
    const against = role === 'server' ? 'by an endpoint' : 'by a client';

    it(`6.9.1 more than the connection's window is FLOW_CONTROL_ERROR, ${against}`, { skip: fewBuffers }, () =>
      through(bench(), role, { INITIAL_WINDOW_SIZE: 0 }, async (flow) => {
        const { sender } = flow;
        const flows = [flow];
        await sender.sync();
        // Until so much is held that the connection's window is not opened any more.
        while (sender.connectionRoomLeft > 0) {
          const { from } = flows[flows.length - 1] as Flow;
          if (sender.room(from) === 0) flows.push(await flow.another());
          else await sender.pour(from, Buffer.alloc(sender.room(from)));
          await sender.sync();
          assert.ok(flows.length < 20, 'the window is opened though nothing goes on');
        }
        sender.data((await flow.another()).from, Buffer.alloc(1));
        await sender.expect('GOAWAY', { code: 'FLOW_CONTROL_ERROR' });
        await sender.closed();
        for (const { receiver, to } of flows) await receiver.expect('RST_STREAM', { stream: to });
      }),
    );

    it(`5.1 content for a stream that was reset still counts, and is given back, ${against}`, () =>
      bench().play(async () => {
        const on = bench();
        const client = await on.client();
        const { receiver, to, sender, from, another } = await flow(on, role, client);
        // The receiver loses interest, and Sluice resets the sender's stream.
        receiver.reset(to);
        await sender.expect('RST_STREAM', { stream: from });
        for (let left = 200_000; left > 0; left -= 16_384) {
          await sender.when(() => sender.connectionRoomLeft >= 16_384, `room with ${left} octets to go`);
          sender.data(from, Buffer.alloc(16_384));
        }
        const next = await another();
        next.sender.data(next.from, 'hello', END_STREAM);
        await takes(next.receiver, next.to, 5);
      }));
  }

  it('afterwards serves others', () => bench().play(() => bench().serves()));
});
