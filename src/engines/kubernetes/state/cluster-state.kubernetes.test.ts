import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type ApiProxy, startApiProxy } from '../../../../test/support/api-proxy.ts';
import { installRecords } from '../../../../test/support/session-records.ts';
import { openTestNamespace, type TestNamespace } from '../../../../test/support/test-namespace.ts';
import { createLog } from '../../../log.ts';
import { newKeyPair } from '../../../state/key-pair.ts';
import {
  ClaimLost,
  HoldLost,
  type LeftSandbox,
  SessionDamaged,
  SessionExists,
  type SharedSession,
} from '../../../state/state.ts';
import { KubernetesClient } from '../api/client.ts';
import { podPath } from '../api/pod.ts';
import { generationIn } from '../pod-spec.ts';
import { Calls } from './calls.ts';
import { ClusterState } from './cluster-state.ts';
import { groupId, leasePath, recordName, recordPath } from './names.ts';
import { adoptPod } from './sandboxes.ts';

const anything = z.unknown();
const log = createLog('error');
/** Short, for tests that wait for its end. */
const LEASE_S = 5;
/** Beyond any pause of a busy machine. */
const LONG_S = 60;
/** Longest wait for what comes with the end of a lease. */
const AFTER_LEASE = { timeout: (LEASE_S + 12) * 1000 };
const SOON = { timeout: 5000 };
const SAVED = { last_used_at: '2026-01-01T00:00:00.000Z' };

let namespace: TestNamespace;
let admin: KubernetesClient;

beforeAll(async () => {
  namespace = await openTestNamespace('state');
  admin = namespace.client;
  await installRecords(admin);
});
afterAll(() => namespace?.[Symbol.asyncDispose]());

const newGroup = () => `g_${randomBytes(4).toString('hex')}-`;

/** Joins a group. @param proxy the line by which it reaches the cluster */
async function join(group: string, proxy?: ApiProxy, leaseS = LONG_S): Promise<ClusterState> {
  const client = new KubernetesClient(proxy?.access ?? namespace.access);
  const introduction = { address: '127.0.0.1:8770', publicKey: newKeyPair().publicKey, version: '1.0.0' };
  return await ClusterState.join({ client, group, introduction, leaseS, isFit: () => true, log });
}

async function patchRecord(group: string, { owner, id }: SharedSession, spec: object): Promise<void> {
  const contentType = 'application/merge-patch+json';
  const path = recordPath(namespace.name, recordName(group, owner, id));
  await admin.request('PATCH', path, { contentType, body: { spec }, schema: anything });
}

test('control planes of one name see each other come and go, and no others', async () => {
  const group = newGroup();
  await using one = await join(group);
  await using stranger = await join(newGroup());
  const two = await join(group);
  await expect.poll(() => one.others, SOON).toEqual([two.self]);
  expect(two.others).toEqual([one.self]);
  expect(stranger.others).toEqual([]);
  expect(one.nameOf(two.label)).toBe(two.self.name);
  expect(one.nameOf(stranger.label)).toBeUndefined();
  await two[Symbol.asyncDispose]();
  await expect.poll(() => one.others, SOON).toEqual([]);
});

test('of eight that make one session at once, one has it, and the others are told of it', async () => {
  const group = newGroup();
  const states = await Promise.all(Array.from({ length: 8 }, () => join(group)));
  const made = await Promise.allSettled(states.map((state) => state.create('alice', 'work', SAVED)));
  const winners = made.flatMap((result, at) => (result.status === 'fulfilled' ? [states[at]?.self.name] : []));
  expect(winners).toHaveLength(1);
  for (const result of made) {
    if (result.status === 'fulfilled') continue;
    expect(result.reason).toBeInstanceOf(SessionExists);
    expect(result.reason.present).toMatchObject({ owner: 'alice', id: 'work', generation: 1, holder: winners[0] });
  }
  for (const state of states) {
    await expect.poll(() => state.find('alice', 'work')?.saved, SOON).toEqual(SAVED);
    expect(state.of('alice').map(({ id }) => id)).toEqual(['work']);
    expect(state.of('bob')).toEqual([]);
  }
  await Promise.all(states.map((state) => state[Symbol.asyncDispose]()));
});

test('of eight that claim a released session at once, one has it', async () => {
  const group = newGroup();
  const states = await Promise.all(Array.from({ length: 8 }, () => join(group)));
  const [first] = states as [ClusterState];
  for (let generation = 2; generation < 7; generation += 1) {
    const before = first.find('alice', 'work') ?? (await first.create('alice', 'work'));
    const holder = states.find(({ self }) => self.name === before.holder);
    await holder?.release(before, SAVED);
    const claims = await Promise.allSettled(states.map((state) => state.claim(before)));
    const won = claims.flatMap((claim) => (claim.status === 'fulfilled' ? [claim.value] : []));
    expect(won).toMatchObject([{ generation, saved: SAVED }]);
    for (const claim of claims) {
      if (claim.status === 'rejected') expect(claim.reason).toBeInstanceOf(ClaimLost);
    }
    await expect.poll(() => first.find('alice', 'work')?.holder, SOON).toBe(won[0]?.holder);
  }
  await Promise.all(states.map((state) => state[Symbol.asyncDispose]()));
});

test('a session is claimed from nobody who lives, and at once from one who has left; who lost it writes nothing', async () => {
  const group = newGroup();
  const one = await join(group);
  await using two = await join(group);
  const held = await one.create('alice', 'work');
  await expect.poll(() => two.find('alice', 'work')?.holder, SOON).toBe(one.self.name);
  expect(two.holderOf(held)).toEqual(one.self);
  await expect(two.claim(held)).rejects.toThrow(ClaimLost);
  await expect(two.save(held, SAVED)).rejects.toThrow(HoldLost);
  await expect(two.remove(held)).rejects.toThrow(HoldLost);
  await expect(two.release(held, SAVED)).rejects.toThrow(HoldLost);
  await one[Symbol.asyncDispose]();
  await expect(one.save(held, SAVED)).rejects.toThrow(HoldLost);
  const claimed = await two.claim(held);
  expect(claimed).toMatchObject({ generation: 2, holder: two.self.name });
  expect(await two.save(claimed, SAVED)).toMatchObject({ generation: 2, saved: SAVED });
  await expect(two.save(held, SAVED)).rejects.toThrow(HoldLost);
  await two.remove(claimed);
  expect(two.find('alice', 'work')).toBeUndefined();
  expect(await two.lookUp('alice', 'work')).toBeUndefined();
  await two.remove(claimed);
  expect(await two.create('alice', 'work')).toMatchObject({ generation: 1 });
});

test('a session that another has just made is found by asking, before the watch tells of it', async () => {
  const group = newGroup();
  await using proxy = await startApiProxy(namespace.access);
  proxy.decide(({ url }) => (url.includes('watch=true') ? 'lost' : 'passes'));
  await using one = await join(group, proxy);
  await using two = await join(group);
  await two.create('alice', 'work');
  expect(one.find('alice', 'work')).toBeUndefined();
  expect(await one.lookUp('alice', 'work')).toMatchObject({ holder: two.self.name });
  const held = one.find('alice', 'work');
  if (!held) throw new Error('It was not found.');
  expect(held).toMatchObject({ holder: two.self.name });
  await expect(one.claim(held)).rejects.toThrow(ClaimLost);
  // Nor has it heard of the release.
  await two.release(held, SAVED);
  expect(one.find('alice', 'work')).toMatchObject({ holder: two.self.name });
  expect(await one.claim(held)).toMatchObject({ generation: 2, holder: one.self.name, saved: SAVED });
});

test('a write whose answer is lost is found out about: it has happened once, and is not taken for that of another', async () => {
  await using proxy = await startApiProxy(namespace.access);
  await using state = await join(newGroup(), proxy);
  const lost = new Set<string>();
  const loseFirst = (method: string) => {
    lost.clear();
    proxy.decide((request) => {
      if (request.method !== method || !request.url.includes('/sessions') || lost.has(method)) return 'passes';
      lost.add(method);
      return 'answer lost';
    });
  };
  loseFirst('POST');
  const made = await state.create('alice', 'work');
  expect(made).toMatchObject({ generation: 1, holder: state.self.name });
  loseFirst('PUT');
  const saved = await state.save(made, SAVED);
  expect(saved).toMatchObject({ generation: 1, saved: SAVED });
  loseFirst('PUT');
  await state.release(saved, SAVED);
  expect(await state.lookUp('alice', 'work')).toMatchObject({ generation: 1, holder: undefined });
  loseFirst('PUT');
  const claimed = await state.claim(saved);
  expect(claimed).toMatchObject({ generation: 2, holder: state.self.name });
  loseFirst('DELETE');
  await state.remove(claimed);
  expect([...lost]).toEqual(['DELETE']);
  expect(await state.lookUp('alice', 'work')).toBeUndefined();
});

test('a write that gets no answer says so within a time, and has no effect or all of it', async () => {
  await using proxy = await startApiProxy(namespace.access);
  await using state = await join(newGroup(), proxy);
  const made = await state.create('alice', 'work');
  proxy.decide(({ method, url }) => (method === 'PUT' && url.includes('/sessions') ? 'lost' : 'passes'));
  await expect(state.save(made, SAVED)).rejects.toMatchObject({ code: 'engine_unavailable' });
  proxy.mend();
  expect(await state.save(made, SAVED)).toMatchObject({ saved: SAVED });
});

test('a damaged record harms no other; nobody can hold its session, which says so, until it is mended', async () => {
  const group = newGroup();
  await using one = await join(group);
  await using two = await join(group);
  const [hurt, well] = [await one.create('alice', 'hurt'), await one.create('alice', 'well')];
  const changes: [boolean, boolean][] = [];
  using _ = two.onChange((now, before) => {
    if ((now ?? before)?.id === 'hurt') changes.push([before !== undefined, now !== undefined]);
  });
  await expect.poll(() => two.of('alice').length, SOON).toBe(2);
  await patchRecord(group, hurt, { saved: { last_used_at: 'never' } });
  await expect.poll(() => two.of('alice').map(({ id }) => id), SOON).toEqual(['well']);
  expect(() => two.find('alice', 'hurt')).toThrow(SessionDamaged);
  expect(() => two.find('alice', 'hurt')).toThrow(/saved\.last_used_at/);
  await expect(two.lookUp('alice', 'hurt')).rejects.toThrow(SessionDamaged);
  await expect(two.claim(hurt)).rejects.toThrow(SessionDamaged);
  await expect(two.create('alice', 'hurt')).rejects.toThrow(SessionDamaged);
  await expect(one.save(hurt, SAVED)).rejects.toThrow(SessionDamaged);
  expect(await one.save(well, SAVED)).toMatchObject({ saved: SAVED });
  await patchRecord(group, hurt, { saved: null });
  await expect.poll(() => two.find('alice', 'hurt')?.holder, SOON).toBe(one.self.name);
  expect(changes.slice(-2)).toEqual([
    [true, false],
    [false, true],
  ]);
  // A record that says that it is of another session than its name does.
  await patchRecord(group, hurt, { id: 'well' });
  await expect.poll(() => two.all().map(({ id }) => id), SOON).toEqual(['well']);
  expect(() => two.find('alice', 'hurt')).toThrow(/not that of its group, owner and session/);
});

test('a record without the fields that it must have is refused by the cluster itself', async () => {
  const group = newGroup();
  await using state = await join(group);
  const session = await state.create('alice', 'work');
  await expect(patchRecord(group, session, { generation: 'many' })).rejects.toThrow(/generation/);
  await expect(patchRecord(group, session, { generation: 0 })).rejects.toThrow(/generation/);
  await expect(patchRecord(group, session, { owner: null })).rejects.toThrow(/owner/);
});

test('a state that is too long is refused before it is sent', async () => {
  await using state = await join(newGroup());
  const session = await state.create('alice', 'work');
  const web = Array.from({ length: 300 }, () => 'x'.repeat(250));
  await expect(state.save(session, { ...SAVED, web })).rejects.toMatchObject({ code: 'capacity_exceeded' });
});

test.each([
  ['five minutes slow', -300_000],
  ['five minutes fast', 300_000],
])('a control plane whose clock is %s lives as long as it renews, and no longer', async (_what, off) => {
  const group = newGroup();
  await using state = await join(group);
  const name = `skewed-${randomBytes(4).toString('hex')}`;
  let version: string | undefined;
  const renew = async () => {
    const renewTime = new Date(Date.now() + off).toISOString().replace('Z', '000Z');
    version = await writeLease(group, name, { leaseDurationSeconds: LEASE_S, renewTime }, version);
  };
  await renew();
  await expect.poll(() => state.others.map((one) => one.name), SOON).toEqual([name]);
  const begun = performance.now();
  const gone = new Promise<number>((resolve) => state.onMembers(() => resolve(performance.now())));
  for (let at = 1; at <= LEASE_S + 2; at += 1) {
    await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 1000))]);
    await renew();
  }
  const renewed = performance.now();
  expect(renewed - begun).toBeGreaterThan(LEASE_S * 1000);
  expect(state.others.map((one) => one.name)).toEqual([name]);
  expect((await gone) - renewed).toBeGreaterThan(LEASE_S * 1000 - 500);
  expect(state.others).toEqual([]);
});

test('one that is cut off for longer than its lease knows it before others do, and joins anew once it can', async () => {
  const group = newGroup();
  await using proxy = await startApiProxy(namespace.access);
  await using cutOff = await join(group, proxy, LEASE_S);
  await using two = await join(group);
  const session = await cutOff.create('alice', 'work');
  const { name } = cutOff.self;
  const told: string[] = [];
  const expired = new Promise<void>((resolve) => {
    cutOff.onExpired(() => {
      told.push(`expired ${cutOff.isValid}`);
      resolve();
    });
  });
  const dead = new Promise<number>((resolve) => two.onMembers(() => resolve(performance.now())));
  proxy.cut();
  await expired;
  const at = performance.now();
  expect(two.others).toMatchObject([{ name }]);
  await expect(two.claim(session)).rejects.toThrow(ClaimLost);
  await expect(cutOff.save(session, SAVED)).rejects.toThrow(HoldLost);
  expect(await dead).toBeGreaterThan(at);
  expect(two.holderOf(session)).toBeUndefined();
  expect(await two.claim(session)).toMatchObject({ generation: 2, holder: two.self.name });
  expect(cutOff.isValid).toBe(false);
  proxy.mend();
  await expect.poll(() => cutOff.isValid, AFTER_LEASE).toBe(true);
  expect(cutOff.self.name).not.toBe(name);
  expect(told).toEqual(['expired false']);
  await expect.poll(() => two.others, SOON).toEqual([cutOff.self]);
  // It has what changed meanwhile, and its old lease is gone.
  expect(cutOff.find('alice', 'work')).toMatchObject({ generation: 2, holder: two.self.name });
  await expect(cutOff.save(session, SAVED)).rejects.toThrow(HoldLost);
  await expect(admin.request('GET', leasePath(namespace.name, name), { schema: anything })).rejects.toThrow();
});

test('one whose watch is broken takes nothing from those who live', async () => {
  const group = newGroup();
  await using proxy = await startApiProxy(namespace.access);
  await using two = await join(group, undefined, LEASE_S);
  const session = await two.create('alice', 'work');
  proxy.decide(({ url }) => (url.includes('watch=true') ? 'lost' : 'passes'));
  await using blind = await join(group, proxy);
  await expect.poll(() => blind.others, AFTER_LEASE).toEqual([]);
  expect(blind.isValid).toBe(true);
  expect(blind.holderOf(session)).toBeUndefined();
  await expect(blind.claim(session)).rejects.toThrow(ClaimLost);
  expect(blind.others).toEqual([two.self]);
  proxy.mend();
});

test('one whose lease is removed stops at once, and joins anew', async () => {
  await using state = await join(newGroup());
  const { name } = state.self;
  const expired = new Promise<void>((resolve) => state.onExpired(resolve));
  await admin.request('DELETE', leasePath(namespace.name, name), { schema: anything });
  await expired;
  await expect.poll(() => state.isValid, SOON).toBe(true);
  expect(state.self.name).not.toBe(name);
});

test('a lease that nobody renews is removed in the end', { timeout: 40_000 }, async () => {
  const group = newGroup();
  await using state = await join(group);
  const name = `gone-${randomBytes(4).toString('hex')}`;
  await writeLease(group, name, { leaseDurationSeconds: 1 });
  const read = () =>
    admin.request('GET', leasePath(namespace.name, name), { schema: anything }).then(
      () => 'there',
      () => 'gone',
    );
  expect(await read()).toBe('there');
  await expect.poll(read, { timeout: 30_000, interval: 500 }).toBe('gone');
  expect(state.others).toEqual([]);
});

test('a sandbox is removed by the cluster with the record of its session', { timeout: 60_000 }, async () => {
  const group = newGroup();
  await using state = await join(group);
  const key = randomBytes(10).toString('hex');
  const uid = await makePod(key, state.label);
  const session = await state.create('alice', 'work');
  const saved = await state.save(session, { ...SAVED, key, ref: `${key}/${uid}/10000` });
  await expect
    .poll(async () => (await readPod(key))?.ownerReferences?.[0]?.name, SOON)
    .toBe(recordName(group, 'alice', 'work'));
  await state.remove(saved);
  await expect.poll(() => readPod(key), { timeout: 40_000, interval: 500 }).toBeUndefined();
});

test('of two that take a sandbox of the pool of one that is gone, one has it; nobody has one of those who live', async () => {
  const group = newGroup();
  await using one = await join(group);
  await using two = await join(group);
  const from = `gone@${groupId(group)}`;
  const key = randomBytes(10).toString('hex');
  const ref = `${key}/${await makePod(key, from)}/10000`;
  const took = await Promise.all([one.takeSandbox(ref, from), two.takeSandbox(ref, from)]);
  expect(took.toSorted()).toEqual([false, true]);
  const [taker, other] = took[0] ? [one, two] : [two, one];
  expect((await readPod(key))?.annotations?.['glovebox.instance']).toBe(taker.label);
  expect(await one.takeSandbox(ref, from)).toBe(false);
  expect(await other.takeSandbox(ref, taker.label)).toBe(false);
  const gone = randomBytes(8).toString('hex');
  expect(await one.takeSandbox(`${key}/${gone}/1`, from)).toBe(false);
  expect(await one.takeSandbox(`none/${gone}/1`, from)).toBe(false);
  expect(await one.takeSandbox(ref, 'gone@another')).toBe(false);
  await taker[Symbol.asyncDispose]();
  await expect.poll(() => other.takeSandbox(ref, taker.label), SOON).toBe(true);
});

describe('a call with an idempotency key', () => {
  const call = { owner: 'alice', key: 'k 1', fingerprint: 'f' };
  const keys = async (group: string) => {
    const query = { labelSelector: `glovebox.calls=${groupId(group)}` };
    const schema = z.object({ items: z.array(anything) });
    return (await admin.request('GET', leasePath(namespace.name), { query, schema })).items.length;
  };

  test('begins once among all control planes, also after the death of the one where it began', async () => {
    const group = newGroup();
    const states = await Promise.all(Array.from({ length: 4 }, () => join(group)));
    const begun = await Promise.all(states.map((state) => state.beginCall(call)));
    expect(begun.filter((before) => before === undefined)).toHaveLength(1);
    expect(begun.filter((before) => before?.fingerprint === 'f')).toHaveLength(3);
    const [first, second] = states as [ClusterState, ClusterState];
    await first[Symbol.asyncDispose]();
    expect(await second.beginCall(call)).toEqual({ fingerprint: 'f' });
    expect(await second.beginCall({ ...call, owner: 'bob' })).toBeUndefined();
    // It is no member of the group.
    await expect.poll(() => second.others.length, SOON).toBe(2);
    await second.forgetCall(call.owner, call.key);
    expect(await second.beginCall(call)).toBeUndefined();
    await Promise.all(states.map((state) => state[Symbol.asyncDispose]()));
  });

  test('begins once where the answer to its write is lost', async () => {
    await using proxy = await startApiProxy(namespace.access);
    await using state = await join(newGroup(), proxy);
    let lost = 0;
    proxy.decide(({ method, url }) =>
      method === 'POST' && url.includes('/leases') && lost++ === 0 ? 'answer lost' : 'passes',
    );
    expect(await state.beginCall(call)).toBeUndefined();
    expect(await state.beginCall(call)).toEqual({ fingerprint: 'f' });
    expect(lost).toBeGreaterThan(1);
  });

  test('is forgotten after an hour', async () => {
    const group = newGroup();
    using calls = new Calls({ client: admin, group, log });
    await calls.begin(call, 'me');
    await calls.sweep();
    expect(await keys(group)).toBe(1);
    await calls.sweep(Date.now() + 2 * 3_600_000);
    expect(await keys(group)).toBe(0);
  });
});

describe('a sandbox that a pool had ready when its control plane died', () => {
  const newKey = () => randomBytes(10).toString('hex');
  const POOLED = { 'glovebox.pool': 'true' };

  /** Makes the pod of a sandbox. */
  async function makeSandbox(instance: string, annotations: Record<string, string> = POOLED): Promise<LeftSandbox> {
    const key = newKey();
    return { key, instance, ref: `${key}/${await makePod(key, instance, annotations)}/10000` };
  }

  /** Ends a control plane, and waits until others know. */
  async function end(dead: ClusterState, states: readonly ClusterState[]): Promise<void> {
    await dead[Symbol.asyncDispose]();
    const isGone = () => states.every(({ others }) => others.every(({ name }) => name !== dead.self.name));
    await expect.poll(isGone, SOON).toBe(true);
  }

  test('is adopted by one of eight that see it at once, as a sandbox that no earlier control plane reaches', async () => {
    const group = newGroup();
    const dead = await join(group);
    const left = await makeSandbox(dead.label);
    const states = await Promise.all(Array.from({ length: 8 }, () => join(group)));
    await expect(Promise.all(states.map((state) => state.adoptSandbox(left)))).resolves.toEqual(
      Array(8).fill(undefined),
    );
    await end(dead, states);
    const adopted = await Promise.all(states.map((state) => state.adoptSandbox(left)));
    const [mine] = adopted.flatMap((sandbox) => sandbox ?? []);
    expect(adopted.filter((sandbox) => sandbox !== undefined)).toHaveLength(1);
    expect(mine).toEqual({ ...left, ref: `${left.ref}/1`, instance: states[adopted.indexOf(mine)]?.label });
    expect(generationIn(left.ref, 2 ** 31)).toBeLessThan(generationIn(mine?.ref ?? '') ?? 0);
    expect((await readPod(left.key))?.annotations?.['glovebox.instance']).toBe(mine?.instance);
    await Promise.all(states.map((state) => state[Symbol.asyncDispose]()));
  });

  test('is not adopted if it was started for a session, or was given to one, though no record names it any more', async () => {
    const group = newGroup();
    const dead = await join(group);
    await using two = await join(group);
    const started = await makeSandbox(dead.label, {});
    const [named, hibernated, closed] = [
      await makeSandbox(dead.label),
      await makeSandbox(dead.label),
      await makeSandbox(dead.label),
    ];
    await dead.create('alice', 'named', { ...SAVED, ...naming(named) });
    await dead.save(await dead.create('alice', 'hibernated', { ...SAVED, ...naming(hibernated) }), SAVED);
    const session = await dead.create('alice', 'closed', { ...SAVED, ...naming(closed) });
    // The cluster removes it some time later: until then, the tie tells.
    await dead.remove(session);
    await end(dead, [two]);
    const fresh = await makeSandbox(dead.label);
    for (const left of [started, named, hibernated, closed]) expect(await two.adoptSandbox(left)).toBeUndefined();
    expect((await readPod(hibernated.key))?.ownerReferences).toHaveLength(1);
    expect(await two.adoptSandbox(fresh)).toBeDefined();
  });

  test('is not adopted while a record names it that nobody can read', async () => {
    const group = newGroup();
    const dead = await join(group);
    await using two = await join(group);
    const left = await makeSandbox(dead.label);
    const hurt = await dead.create('alice', 'hurt', { ...SAVED, ...naming(left) });
    await patchRecord(group, hurt, { saved: { last_used_at: 'never' } });
    await unmark(left.key);
    await end(dead, [two]);
    await expect.poll(() => two.all(), SOON).toEqual([]);
    expect(await two.adoptSandbox(left)).toBeUndefined();
  });

  test('is not that of a session whose record named it only after it was adopted', async () => {
    const group = newGroup();
    const dead = await join(group);
    await using two = await join(group);
    const left = await makeSandbox(dead.label);
    await end(dead, [two]);
    const adopted = await two.adoptSandbox(left);
    if (!adopted) throw new Error('It was not adopted.');
    // What the dead one sent last came late.
    const late = await two.create('alice', 'late', { ...SAVED, ...naming(left) });
    expect(await two.keepSandbox(late)).toBe(false);
    const next = await two.create('bob', 'next', { ...SAVED, ...naming(adopted) });
    expect(await two.keepSandbox(next)).toBe(true);
    expect((await readPod(left.key))?.ownerReferences?.[0]?.name).toBe(recordName(group, 'bob', 'next'));
    expect(await two.keepSandbox(late)).toBe(false);
  });

  test("is the session's that keeps it first, or the pool's that adopts it first, and never that of both", async () => {
    const group = newGroup();
    const dead = await join(group);
    await using two = await join(group);
    await using three = await join(group);
    const all = await Promise.all(Array.from({ length: 8 }, () => makeSandbox(dead.label)));
    await end(dead, [two]);
    const outcomes = await Promise.all(
      all.map(async (left, at) => {
        // It has looked for records before this one was written.
        const adopting = adoptPod(admin, { ref: left.ref, from: left.instance, to: two.label }, () => true);
        const session = await three.create('alice', `late-${at}`, { ...SAVED, key: left.key });
        return await Promise.all([adopting, three.keepSandbox({ ...session, saved: { ...SAVED, ...naming(left) } })]);
      }),
    );
    for (const [adopted, isKept] of outcomes) expect(adopted === undefined).toBe(isKept);
  });
});

function naming({ key, ref }: LeftSandbox): { readonly key: string; readonly ref: string } {
  return { key, ref };
}

/** Has a pod be tied to nothing. */
async function unmark(key: string): Promise<void> {
  const contentType = 'application/merge-patch+json';
  const body = { metadata: { ownerReferences: null } };
  await expect.poll(async () => (await readPod(key))?.ownerReferences?.length, SOON).toBe(1);
  await admin.request('PATCH', podPath(namespace.name, `glovebox-${key}`), { contentType, body, schema: anything });
}

/** Writes the lease of another, as it would. @returns its version */
async function writeLease(group: string, name: string, spec: object, version?: string): Promise<string> {
  const annotations = {
    'glovebox.address': '127.0.0.1:1',
    'glovebox.public-key': 'A'.repeat(59),
    'glovebox.version': '1',
  };
  const labels = { 'glovebox.group': groupId(group) };
  const metadata = { name, labels, annotations, ...(version ? { resourceVersion: version } : {}) };
  const body = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata,
    spec: { holderIdentity: name, ...spec },
  };
  const path = leasePath(namespace.name, version && name);
  const schema = z.object({ metadata: z.object({ resourceVersion: z.string() }) });
  return (await admin.request(version ? 'PUT' : 'POST', path, { body, schema })).metadata.resourceVersion;
}

const podSchema = z.object({
  metadata: z.object({
    uid: z.string(),
    annotations: z.record(z.string(), z.string()).optional(),
    ownerReferences: z.array(z.object({ name: z.string() })).optional(),
  }),
});

/** Makes a pod that no node takes. Returns its uid. */
async function makePod(key: string, label: string, annotations: Record<string, string> = {}): Promise<string> {
  const metadata = { name: `glovebox-${key}`, annotations: { 'glovebox.instance': label, ...annotations } };
  const spec = { nodeSelector: { nowhere: 'at-all' }, containers: [{ name: 'sandbox', image: 'none' }] };
  const body = { apiVersion: 'v1', kind: 'Pod', metadata, spec };
  return (await admin.request('POST', podPath(namespace.name), { body, schema: podSchema })).metadata.uid;
}

async function readPod(key: string) {
  const path = podPath(namespace.name, `glovebox-${key}`);
  return await admin.request('GET', path, { schema: podSchema }).then(
    ({ metadata }) => metadata,
    () => undefined,
  );
}
