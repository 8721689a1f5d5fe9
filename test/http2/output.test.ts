import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ROLE } from '../../src/http2/connection.js';
import { BUFFER_CAPACITY } from '../../src/io/slab.js';
import { type Wire, World } from '../support/http2-machine.js';
import { newMachineMemory } from '../support/http2-memory.js';
import { runs } from '../support/runs.js';

const memory = newMachineMemory(128);

/** Writes a small "frame" of `length` octets. */
function write(world: World, wire: Wire, length: number, value: number): void {
  const { output } = world.core;
  const at = output.room(wire.connection, length);
  assert.ok(at >= 0);
  memory.slab.bytes.fill(value, at, at + length);
  output.wrote(wire.connection, at + length);
}

/** Sends `length` octets from the buffer in which they came. */
function slice(world: World, wire: Wire, length: number, value: number): void {
  const { slab } = memory;
  const bid = slab.take();
  const at = slab.dataStart(bid);
  slab.bytes.fill(value, at, at + length);
  world.core.output.slice(wire.connection, at, length, bid);
}

test('small frames go in one piece, at the end of the turn', () => {
  const world = new World(memory);
  const wire = world.connect(ROLE.SERVER);
  wire.instant = false;
  for (let i = 0; i < 100; i++) write(world, wire, 10, i);
  assert.equal(wire.sending.length, 0);
  assert.equal(world.core.output.unsent(wire.connection), 1000);
  world.commit();
  assert.deepEqual(
    wire.sending.map((one) => one.length),
    [1000],
  );
  world.endAll();
});

test('while a send is under way what is written waits, and goes in one piece when it has ended', () => {
  const world = new World(memory);
  const wire = world.connect(ROLE.SERVER);
  wire.instant = false;
  write(world, wire, 5, 1);
  world.commit();
  write(world, wire, 5, 2);
  world.commit();
  write(world, wire, 5, 3);
  world.commit();
  assert.equal(wire.sending.length, 1);
  world.finishSends(wire);
  world.commit();
  assert.equal(wire.sending[0].length, 10);
  world.finishSends(wire);
  assert.deepEqual([...wire.take()], [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
  world.commit();
  world.endAll();
});

test('a head that needs head and tail room of its buffer stays within the buffer', () => {
  const world = new World(memory);
  const { slab } = memory;
  const wire = world.connect(ROLE.SERVER);
  for (const length of [BUFFER_CAPACITY, BUFFER_CAPACITY + 1, slab.bufferBytes]) {
    const at = world.core.output.room(wire.connection, length);
    assert.equal(slab.bufferOf(at), slab.bufferOf(at + length - 1), `${length} octets`);
    slab.bytes.fill(9, at, at + length);
    world.core.output.wrote(wire.connection, at + length);
    world.commit();
    assert.equal(wire.take().length, length);
  }
  assert.equal(world.core.output.room(wire.connection, slab.bufferBytes + 1), -1);
  world.endAll();
});

test('what a dropped connection had written is thrown away, and its buffer given back', () => {
  const world = new World(memory);
  const [one, other] = [world.connect(ROLE.SERVER), world.connect(ROLE.SERVER)];
  write(world, one, 5, 1);
  write(world, other, 5, 2);
  world.end(one);
  world.commit();
  assert.equal(one.take().length, 0);
  assert.equal(other.take().length, 5);
  world.endAll();
});

test('small frames and slices keep their order, whatever the sizes and whenever sends end', () => {
  const step = fc.record({
    what: fc.constantFrom('write', 'write', 'slice', 'commit', 'sent'),
    length: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: BUFFER_CAPACITY })),
    wire: fc.integer({ min: 0, max: 1 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const world = new World(memory);
      const wires = [world.connect(ROLE.SERVER), world.connect(ROLE.CLIENT)];
      const model: Buffer[][] = [[], []];
      let value = 0;
      for (const { what, length, wire: index } of steps) {
        const wire = wires[index];
        wire.instant = false;
        if (what === 'commit') world.commit();
        else if (what === 'sent') world.finishSends(wire);
        // Each holds a buffer until it is sent.
        else if (memory.slab.free > 8) {
          value = (value + 1) & 0xff;
          if (what === 'write') write(world, wire, length, value);
          else slice(world, wire, length, value);
          model[index].push(Buffer.alloc(length, value));
        }
      }
      for (let i = 0; i < 3; i++) {
        world.commit();
        for (const wire of wires) world.finishSends(wire);
      }
      for (const [i, wire] of wires.entries()) assert.ok(wire.take().equals(Buffer.concat(model[i])));
      world.endAll();
    }),
    { numRuns: runs(60) },
  );
});
