import { beforeEach, describe, expect, it } from 'vitest';
import { PoolSize } from './pool-size.ts';

let now: number;
let demand: PoolSize;

beforeEach(() => {
  now = 1000;
  demand = new PoolSize({ least: 2, most: 5 }, () => now);
});

const take = (count: number) => {
  for (let taken = 0; taken < count; taken += 1) demand.add();
};

describe('demand', () => {
  it('is the least while nothing is taken, or no more than that', () => {
    expect(demand.wanted).toBe(2);
    take(2);
    expect([demand.wanted, demand.changesInMs]).toEqual([2, undefined]);
  });

  it('is what was taken at about the same time, up to the most', () => {
    take(3);
    now += 9_999;
    take(1);
    expect(demand.wanted).toBe(4);
    take(10);
    expect(demand.wanted).toBe(5);
  });

  it('does not add up what is taken one after the other', () => {
    for (let taken = 0; taken < 20; taken += 1) {
      take(1);
      now += 5_000;
    }
    expect(demand.wanted).toBe(2);
  });

  it('is remembered for five minutes from the last burst of that size', () => {
    take(4);
    now += 200_000;
    take(4);
    now += 200_000;
    take(3);
    expect([demand.wanted, demand.changesInMs]).toEqual([4, 100_000]);
    now += 99_999;
    expect(demand.wanted).toBe(4);
    now += 1;
    expect([demand.wanted, demand.changesInMs]).toEqual([2, undefined]);
    take(3);
    expect(demand.wanted).toBe(3);
  });

  it('never wants any where none are allowed', () => {
    demand = new PoolSize({ least: 0, most: 0 }, () => now);
    take(3);
    expect(demand.wanted).toBe(0);
  });
});
