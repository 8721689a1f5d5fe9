import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BUDGET_WINDOW_MS, RetryBudget } from '../../src/balance/budget.js';
import { runs } from '../support/runs.js';

function budgetOf(share: number, minPerSecond: number): RetryBudget {
  const budget = new RetryBudget(2);
  budget.configure(1, share, minPerSecond);
  return budget;
}

const drain = (budget: RetryBudget, now: number): number => {
  let retries = 0;
  while (budget.tryWithdraw(1, now)) retries++;
  return retries;
};

describe('the retry budget', () => {
  it('allows a share of the requests', () => {
    const budget = budgetOf(0.2, 0);
    assert.equal(drain(budget, 0), 0);
    for (let i = 0; i < 100; i++) budget.deposit(1, i);
    assert.equal(drain(budget, 100), 20);
    for (let i = 0; i < 5; i++) budget.deposit(1, 200);
    assert.equal(drain(budget, 200), 1);
  });

  it('comes out exact for shares that binary fractions miss', () => {
    const budget = budgetOf(0.7, 0);
    for (let i = 0; i < 10; i++) budget.deposit(1, 0);
    assert.equal(drain(budget, 0), 7);
  });

  it('always allows the floor, also without requests', () => {
    const budget = budgetOf(0, 3);
    assert.equal(drain(budget, 0), 30);
    assert.equal(drain(budget, BUDGET_WINDOW_MS - 1), 0);
    assert.equal(drain(budget, BUDGET_WINDOW_MS), 30);
  });

  it('forgets requests that left the window', () => {
    const budget = budgetOf(0.5, 0);
    for (let i = 0; i < 10; i++) budget.deposit(1, 500);
    for (let i = 0; i < 4; i++) budget.deposit(1, 5500);
    assert.equal(drain(budget, BUDGET_WINDOW_MS + 500), 2);
    assert.equal(drain(budget, 100 * BUDGET_WINDOW_MS), 0);
  });

  it('keeps services apart', () => {
    const budget = budgetOf(1, 0);
    budget.deposit(0, 0);
    assert.equal(budget.tryWithdraw(1, 0), false);
  });

  it('does nothing foolish when time stands still or steps back', () => {
    const budget = budgetOf(1, 0);
    budget.deposit(1, 50_000);
    assert.equal(budget.tryWithdraw(1, 1000), true);
    assert.equal(budget.tryWithdraw(1, 1000), false);
  });

  it('never allows more than the share and the floor of the last seconds', () => {
    const step = fc.tuple(fc.nat(3000), fc.boolean());
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 200 }),
        fc.integer({ min: 0, max: 10 }),
        fc.nat(2),
        (steps, tenths, floor) => {
          const budget = budgetOf(tenths / 10, floor);
          const requests: number[] = [];
          const retries: number[] = [];
          let now = 0;
          for (const [wait, request] of steps) {
            now += wait;
            const oldest = (Math.floor(now / 1000) - 9) * 1000;
            const recent = (times: readonly number[]) => times.filter((time) => time >= oldest).length;
            if (request) {
              budget.deposit(1, now);
              requests.push(now);
            } else {
              const allowed = recent(retries) + 1 <= floor * 10 + (tenths * recent(requests)) / 10;
              assert.equal(budget.tryWithdraw(1, now), allowed);
              if (allowed) retries.push(now);
            }
          }
        },
      ),
      { numRuns: runs(200) },
    );
  });
});
