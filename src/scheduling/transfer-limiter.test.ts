import { describe, expect, test } from 'vitest';
import type { Transfer } from '../execution/request.ts';
import { TransferLimiter } from './transfer-limiter.ts';

/** A transfer that gives its place back when it is ended. */
class FakeTransfer implements Transfer {
  place: Disposable | undefined;
  ended = false;
  readonly idleSince: number | undefined;

  constructor(idleForMs?: number) {
    this.idleSince = idleForMs === undefined ? undefined : performance.now() - idleForMs;
  }

  end(): void {
    this.ended = true;
    this.place?.[Symbol.dispose]();
  }
}

async function fill(places: TransferLimiter, ...transfers: FakeTransfer[]): Promise<FakeTransfer[]> {
  for (const transfer of transfers) transfer.place = await places.enter(transfer, {});
  return transfers;
}

describe('a transfer that has stalled', () => {
  test('keeps its place while nobody wants it', async () => {
    const [stalled] = await fill(new TransferLimiter(2, 4, 50), new FakeTransfer(1000), new FakeTransfer());
    expect(stalled?.ended).toBe(false);
  });

  test('gives it to one that waits, the longest idle first, and no other is ended', async () => {
    const places = new TransferLimiter(4, 4, 50);
    const all = await fill(
      places,
      new FakeTransfer(1000),
      new FakeTransfer(),
      new FakeTransfer(2000),
      new FakeTransfer(-60_000),
    );
    await places.enter(new FakeTransfer(), {});
    expect(all.map(({ ended }) => ended)).toEqual([false, false, true, false]);
    await places.enter(new FakeTransfer(), {});
    expect(all.map(({ ended }) => ended)).toEqual([true, false, true, false]);
  });

  test('is waited for until it has stalled for long enough', async () => {
    const places = new TransferLimiter(1, 4, 200);
    const [only] = await fill(places, new FakeTransfer(0));
    await expect(places.enter(new FakeTransfer(), { patienceMs: 50 })).rejects.toMatchObject({
      code: 'capacity_exceeded',
    });
    expect(only?.ended).toBe(false);
    await places.enter(new FakeTransfer(), { patienceMs: 5000 });
    expect(only?.ended).toBe(true);
  });
});
