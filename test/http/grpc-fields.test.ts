import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { factsOf, GET } from '../support/facts.js';

describe('fields of gRPC', () => {
  it('knows gRPC by its content type', () => {
    for (const type of [
      'application/grpc',
      'application/grpc+proto',
      'application/grpc;charset=utf-8',
      'application/grpc+json',
    ]) {
      assert.ok(factsOf([...GET, ['content-type', type]]).grpc, type);
    }
    for (const type of [
      'application/grpc-web',
      'application/grpc-web+proto',
      'application/grp',
      'text/plain',
      'application/grpcx',
    ]) {
      assert.ok(!factsOf([...GET, ['content-type', type]]).grpc, type);
    }
  });
  it('reads grpc-status, 2 being what is none', () => {
    const cases: [string, number][] = [
      ['0', 0],
      ['16', 16],
      ['17', 2],
      ['99', 2],
      ['-1', 2],
      ['', 2],
      ['x', 2],
      ['100', 2],
      ['07', 7],
    ];
    for (const [value, expected] of cases) assert.equal(factsOf([['grpc-status', value]]).grpcStatus, expected, value);
    assert.equal(factsOf([]).grpcStatus, -1);
  });
  it('reads grpc-timeout in every unit', () => {
    const cases: [string, number][] = [
      ['1H', 3_600_000],
      ['2M', 120_000],
      ['3S', 3000],
      ['4m', 4],
      ['1u', 1],
      ['1001u', 2],
      ['1n', 1],
      ['0S', 0],
      ['99999999H', 0x7fffffff],
      ['123456789m', -1],
      ['1', -1],
      ['S', -1],
      ['1s', -1],
      ['-1S', -1],
    ];
    for (const [value, expected] of cases) {
      assert.equal(factsOf([...GET, ['grpc-timeout', value]]).grpcTimeoutMs, expected, value);
    }
  });
});
