import { afterEach, describe, expect, it, vi } from 'vitest';
import { type FairLimits, FairQueue } from './fair-queue.ts';

const GENEROUS = { places: 4, placesPerOwner: 4, waitingPerOwner: 100 };

/** Lets everything go on that can. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A queue whose places are given back by hand, and who got one, in order. */
function open(limits: Partial<FairLimits>) {
  const queue = new FairQueue({ ...GENEROUS, ...limits });
  const admitted: string[] = [];
  const places: { readonly owner: string; readonly place: Disposable }[] = [];
  const enter = (owner: string, options = {}) =>
    queue.enter(owner, options).then((place) => {
      admitted.push(owner);
      places.push({ owner, place });
    });
  const giveBack = (at = 0) => places.splice(at, 1)[0]?.place[Symbol.dispose]();
  return { queue, admitted, places, enter, giveBack };
}

/** The same numbers for the same seed, from 0 up to 1. */
function randomFrom(seed: number): () => number {
  let state = (seed + 1) * 2_654_435_761;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('a fair queue', () => {
  it('gives free places to each owner in turn, however many calls one of them has waiting', async () => {
    const { admitted, enter, giveBack } = open({ places: 1, placesPerOwner: 1 });
    for (let call = 0; call < 5; call += 1) void enter('flood');
    void enter('one');
    void enter('other');
    for (let turn = 0; turn < 7; turn += 1) {
      await settle();
      giveBack();
    }
    expect(admitted).toEqual(['flood', 'flood', 'one', 'other', 'flood', 'flood', 'flood']);
  });

  it('lets calls of one owner in by their order', async () => {
    const queue = new FairQueue({ ...GENEROUS, places: 1 });
    const order: number[] = [];
    const first = await queue.enter('a');
    const others = [1, 2, 3].map(async (call) => {
      using _place = await queue.enter('a');
      order.push(call);
    });
    first[Symbol.dispose]();
    await Promise.all(others);
    expect(order).toEqual([1, 2, 3]);
    expect([queue.running, queue.waiting]).toEqual([0, 0]);
  });

  it('keeps its last place for owners who have none', async () => {
    const { queue, admitted, enter } = open({ places: 3, placesPerOwner: 2 });
    for (const owner of ['a', 'b', 'a', 'b']) void enter(owner);
    await settle();
    expect(admitted).toEqual(['a', 'b']);
    await enter('c');
    expect(queue.running).toBe(3);
  });

  it('lets one owner have all places where that is allowed', async () => {
    const { queue, enter } = open({ places: 3, placesPerOwner: 3 });
    for (let call = 0; call < 4; call += 1) void enter('a');
    await settle();
    expect([queue.running, queue.waiting]).toEqual([3, 1]);
  });

  it('holds an owner to its own limit while others enter', async () => {
    const { queue, admitted, enter } = open({ places: 8, placesPerOwner: 2 });
    for (const owner of ['a', 'a', 'a', 'b']) void enter(owner);
    await settle();
    expect(admitted).toEqual(['a', 'a', 'b']);
    expect(queue.waiting).toBe(1);
  });

  it('refuses at once when too many of an owner wait, and says when to come again', async () => {
    const { enter } = open({ places: 1, placesPerOwner: 1, waitingPerOwner: 1 });
    await enter('a');
    void enter('a');
    await expect(enter('a')).rejects.toMatchObject({ code: 'capacity_exceeded', retryAfterS: 1 });
    const b = enter('b');
    await expect(enter('b')).rejects.toMatchObject({ message: expect.stringContaining('1 execution') });
    void b;
  });

  it('ends a wait with its signal or its patience, and the place goes to the next', async () => {
    const { queue, admitted, enter, giveBack } = open({ places: 1 });
    await enter('a');
    const gone = new AbortController();
    const leaving = enter('b', { signal: gone.signal });
    const impatient = enter('c', { patienceMs: 1 });
    void enter('d');
    gone.abort(new Error('gone'));
    await expect(leaving).rejects.toThrow('gone');
    await expect(impatient).rejects.toMatchObject({ code: 'capacity_exceeded' });
    giveBack();
    await settle();
    expect(admitted).toEqual(['a', 'd']);
    expect(queue.waiting).toBe(0);
    await expect(enter('e', { signal: gone.signal })).rejects.toThrow('gone');
  });

  it('tells who waits how many of theirs are ahead, and nothing to who need not', async () => {
    const { enter } = open({ places: 1 });
    const heard: number[] = [];
    const onWait = (ahead: number) => void heard.push(ahead);
    await enter('a', { onWait });
    void enter('a', { onWait });
    void enter('a', { onWait });
    void enter('b', { onWait });
    expect(heard).toEqual([0, 1, 0]);
  });

  it.each(Array.from({ length: 40 }, (_, seed) => seed))(
    'lets no owner without a place wait for more than one turn of another, or for nothing (interleaving %i)',
    async (seed) => {
      const random = randomFrom(seed);
      const pick = (count: number) => Math.floor(random() * count);
      const limits = { places: 1 + pick(4), placesPerOwner: 1 + pick(4) };
      const { queue, admitted, places, enter, giveBack } = open(limits);
      const owners = ['a', 'b', 'c', 'd'].slice(0, 2 + pick(3));
      const calls = new Map(owners.map((owner) => [owner, 0]));
      const holds = (owner: string) => places.filter((held) => held.owner === owner).length;
      const got = (owner: string) => admitted.filter((each) => each === owner).length;
      /** Of each owner who waits and has no place: who was let in meanwhile. */
      const overtakers = new Map<string, string[]>();
      for (let step = 0; step < 150; step += 1) {
        const seen = admitted.length;
        if (random() < 0.55) {
          const owner = owners[pick(owners.length)] ?? '';
          calls.set(owner, (calls.get(owner) ?? 0) + 1);
          void enter(owner);
        } else giveBack(pick(places.length));
        await settle();
        for (const owner of owners) {
          const waits = holds(owner) === 0 && got(owner) < (calls.get(owner) ?? 0);
          if (!waits || admitted.indexOf(owner, seen) >= 0) overtakers.delete(owner);
          if (!waits) continue;
          const before = overtakers.get(owner);
          overtakers.set(owner, before ? [...before, ...admitted.slice(seen)] : []);
        }
        for (const others of overtakers.values()) expect(new Set(others).size).toBe(others.length);
        if (overtakers.size > 0) expect(queue.running).toBe(limits.places);
        expect(queue.running).toBe(places.length);
        expect(places.length).toBeLessThanOrEqual(limits.places);
        for (const owner of owners) expect(holds(owner)).toBeLessThanOrEqual(limits.placesPerOwner);
      }
      while (places.length > 0) {
        giveBack();
        await settle();
      }
      expect([queue.running, queue.waiting]).toEqual([0, 0]);
    },
  );
});

describe('a flood in a fair queue', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Two of four places of an owner may be fresh while others are about. */
  function openForFlood() {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    return open({ places: 16, placesPerOwner: 4, freshPerOwner: 2 });
  }

  it('has all places of its owner while nobody else is about', async () => {
    const { admitted, enter } = openForFlood();
    for (let call = 0; call < 6; call += 1) void enter('flood');
    await settle();
    expect(admitted).toHaveLength(4);
  });

  it('leaves places that it has to whoever comes, as its calls end', async () => {
    const { queue, enter, giveBack } = openForFlood();
    for (let call = 0; call < 6; call += 1) void enter('flood');
    await settle();
    await enter('one');
    for (let call = 0; call < 3; call += 1) giveBack();
    await settle();
    expect([queue.running, queue.waiting]).toEqual([3, 1]);
  });

  it('goes on beside what has run for long', async () => {
    const { admitted, enter } = openForFlood();
    await enter('one');
    for (let call = 0; call < 6; call += 1) void enter('flood');
    await settle();
    expect(admitted).toEqual(['one', 'flood', 'flood']);
    vi.advanceTimersByTime(5_000);
    await settle();
    expect(admitted).toEqual(['one', 'flood', 'flood', 'flood', 'flood']);
    vi.advanceTimersByTime(60_000);
    await settle();
    expect(admitted).toHaveLength(5);
  });

  it('has all places again when the others have done nothing for a while', async () => {
    const { admitted, enter, giveBack } = openForFlood();
    await enter('one');
    giveBack();
    vi.advanceTimersByTime(9_000);
    await enter('one');
    giveBack();
    vi.advanceTimersByTime(9_000);
    for (let call = 0; call < 6; call += 1) void enter('flood');
    await settle();
    expect(admitted).toEqual(['one', 'one', 'flood', 'flood']);
    vi.advanceTimersByTime(1_000);
    await settle();
    expect(admitted.slice(4)).toEqual(['flood', 'flood']);
  });

  it('is told what it waits for when it has waited in vain', async () => {
    const { enter } = openForFlood();
    await enter('one');
    for (let call = 0; call < 2; call += 1) await enter('flood');
    const late = enter('flood', { patienceMs: 10 });
    vi.advanceTimersByTime(10);
    await expect(late).rejects.toMatchObject({
      code: 'capacity_exceeded',
      message: 'While others run theirs, one owner may begin 2 at once here, and none ended in time.',
    });
  });

  it('is of nobody who was only refused', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { admitted, enter } = open({ places: 2, placesPerOwner: 2, freshPerOwner: 1, waitingPerOwner: 0 });
    await enter('a');
    await enter('b');
    await expect(enter('c')).rejects.toMatchObject({ code: 'capacity_exceeded' });
    // Two places that are to age, and one who is to be forgotten.
    expect(vi.getTimerCount()).toBe(3);
    vi.advanceTimersByTime(10_000);
    expect(vi.getTimerCount()).toBe(0);
    expect(admitted).toEqual(['a', 'b']);
  });
});
