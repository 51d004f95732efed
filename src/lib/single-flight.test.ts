import { describe, expect, it } from 'vitest';
import { singleFlight } from './single-flight.ts';

describe('work that is done once', () => {
  it('is shared by all who ask, and so is its progress', async () => {
    let runs = 0;
    const gate = Promise.withResolvers<void>();
    const work = singleFlight(async (report) => {
      runs += 1;
      await gate.promise;
      report('half');
      return 42;
    });
    const heard: string[] = [];
    const both = Promise.all([
      work({ onProgress: (m) => heard.push(`a ${m}`) }),
      work({ onProgress: (m) => heard.push(`b ${m}`) }),
    ]);
    gate.resolve();
    expect(await both).toEqual([42, 42]);
    expect(await work()).toBe(42);
    expect(runs).toBe(1);
    expect(heard).toEqual(['a half', 'b half']);
  });

  it('is tried anew after it failed', async () => {
    let runs = 0;
    const work = singleFlight(async () => {
      runs += 1;
      if (runs === 1) throw new Error('no');
      return 'yes';
    });
    await expect(work()).rejects.toThrow('no');
    expect(await work()).toBe('yes');
  });

  it('goes on after a caller has lost patience', async () => {
    const gate = Promise.withResolvers<string>();
    const work = singleFlight((report) => {
      report('step 1');
      return gate.promise;
    }, 5);
    await expect(work()).rejects.toMatchObject({
      code: 'engine_unavailable',
      message: expect.stringContaining('step 1'),
    });
    gate.resolve('done');
    expect(await work()).toBe('done');
  });

  it('goes on after a caller has gone away', async () => {
    const gate = Promise.withResolvers<string>();
    const work = singleFlight(() => gate.promise);
    const gone = new AbortController();
    const left = work({ signal: gone.signal });
    gone.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    gate.resolve('done');
    expect(await work()).toBe('done');
  });
});

it('a caller that has left before it asks waits for the work', async () => {
  const prepare = singleFlight(() => new Promise(() => {}));
  await expect(prepare({ signal: AbortSignal.abort(new Error('left')) })).rejects.toThrow('left');
});
