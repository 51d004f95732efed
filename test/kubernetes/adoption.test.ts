import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { LABELS } from '../../src/engines/kubernetes/pod-spec.ts';
import { closeSession } from '../support/rest-client.ts';
import type { Server } from '../support/server.ts';
import { callIn, PATIENT, runAgainIn, runIn, ServerGroup, untilReady } from '../support/server-group.ts';
import { installRecords } from '../support/session-records.ts';
import { openTestNamespace, type TestNamespace } from '../support/test-namespace.ts';

const POOL = { GLOVEBOX_POOL_SIZE: '1', GLOVEBOX_POOL_MAX: '3' };
/** Tells whether code of a session was in the sandbox before, and is found by it. */
const MARK = 'import os; print(os.path.exists("used")); open("used", "w").close(); x = 7';

/**
 * Speaks for the runner to the next control plane. The program that is to lead that to the runner is of the same user, and
 * its output can be opened until it has begun to protect itself. So the control plane hears of a generation that is higher
 * than any, before the runner says anything.
 */
const CLAIM = `
import json, os, struct, threading

body = json.dumps({"protocol": 1, "refused": "generation", "generation": 1 << 40}).encode()
refusal = struct.pack(">IBI", len(body), 16, 0) + body
known = set(os.listdir("/proc"))

def claim():
    while True:
        for pid in set(os.listdir("/proc")) - known:
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    if stat.read().rpartition(")")[2].split()[1] != "0": continue
                with open(f"/proc/{pid}/fd/1", "wb", buffering=0) as output:
                    output.write(refusal)
                return
            except OSError:
                pass

threading.Thread(target=claim, daemon=True).start()
`;

let namespace: TestNamespace;
let group: ServerGroup;

beforeAll(async () => {
  namespace = await openTestNamespace('adoption');
  await installRecords(namespace.client);
});
afterAll(async () => await namespace[Symbol.asyncDispose]());

beforeEach(() => {
  group = new ServerGroup(namespace, { GLOVEBOX_LEASE_S: '8', ...POOL });
});
afterEach(async () => await group[Symbol.asyncDispose]());

/** Closes all sessions and ends the servers in order. */
async function end(servers: readonly [Server, ...Server[]]): Promise<void> {
  const closed = Object.keys(await group.taken()).map(async (session) => {
    expect((await closeSession(servers[0], session)).status).toBe(204);
  });
  await Promise.all(closed);
  for (const server of servers) expect((await server.stop()).code).toBe(0);
}

describe('the pool of a server that was killed', () => {
  test('is adopted by another one, and new sessions run in it; what was given to a session is not', async () => {
    const [first, second] = await Promise.all([group.start(), group.start({ GLOVEBOX_POOL_MAX: '2' })]);
    await runIn(first, 'open("secret.txt", "w").write("of the first")');
    const used = Object.values(await group.taken());
    await Promise.all([untilReady(first, 1), untilReady(second, 1)]);
    const before = await group.podNames();
    expect(before).toHaveLength(3);
    await first.kill();
    await untilReady(second, 2);
    expect(await group.podNames()).toEqual(before);
    for (const session of ['one', 'two'])
      expect((await runIn(second, 'import os; print(os.path.exists("secret.txt"))', session)).stdout).toBe('False\n');
    expect(Object.values(await group.taken()).toSorted()).toEqual(before);
    expect((await runAgainIn(second, 'print(open("secret.txt").read())')).stdout).toBe('of the first\n');
    expect(Object.values(await group.taken())).toEqual(expect.arrayContaining(used));
  });

  test('goes on to a third once the one that adopted it was killed, too: none is lost, none is used twice, none is left', async () => {
    const [first, second] = await Promise.all([group.start(), group.start()]);
    await Promise.all([untilReady(first, 1), untilReady(second, 1)]);
    await first.kill();
    await untilReady(second, 2);
    const third = await group.start();
    await untilReady(third, 1);
    const before = await group.podNames();
    expect(before).toHaveLength(3);
    await second.kill();
    await untilReady(third, 3);
    expect(await group.podNames()).toEqual(before);
    const adoptions = (await group.pods()).map(({ metadata }) => metadata.annotations[LABELS.adopted] ?? '0');
    expect(adoptions.toSorted()).toEqual(['0', '1', '2']);
    for (const session of ['one', 'two', 'three']) expect((await runIn(third, MARK, session)).stdout).toBe('False\n');
    expect(Object.values(await group.taken()).toSorted()).toEqual(before);
    await end([third]);
    await expect.poll(() => group.podNames(), PATIENT).toEqual([]);
  });
});

test('a server that slept while another one adopted its pool uses and removes none of it once it is awake', async () => {
  const [sleeper, other] = await Promise.all([group.start({ GLOVEBOX_POOL_SIZE: '2' }), group.start()]);
  await untilReady(sleeper, 2);
  const own = await group.podNames();
  await untilReady(other, 1);
  const before = await group.podNames();
  let early: ReturnType<typeof callIn>;
  process.kill(sleeper.pid, 'SIGSTOP');
  try {
    await untilReady(other, 3);
    for (const session of ['one', 'two']) expect((await runIn(other, MARK, session)).stdout).toBe('False\n');
    // It is there when the sleeper wakes, maybe before that knows how long it has slept.
    early = callIn(sleeper, MARK, 'early');
  } finally {
    process.kill(sleeper.pid, 'SIGCONT');
  }
  const { result, error } = await early;
  expect(result ? 'runs' : error?.begun).toBe(result ? 'runs' : false);
  expect((result ?? (await runAgainIn(sleeper, MARK, 'early'))).stdout).toBe('False\n');
  // It has joined anew.
  await untilReady(sleeper, 2);
  expect(await group.podNames()).toEqual(expect.arrayContaining(before));
  expect((await runIn(other, MARK, 'three')).stdout).toBe('False\n');
  const taken = await group.taken();
  expect([taken['one'], taken['two'], taken['three']].toSorted()).toEqual(before);
  expect(own).not.toContain(taken['early']);
  for (const server of [sleeper, other]) {
    for (const session of Object.keys(taken)) {
      const { stdout, session_reset: reset } = await runIn(server, 'print(x)', session);
      expect([session, stdout, reset]).toEqual([session, '7\n', undefined]);
    }
  }
  await end([sleeper, other]);
  await expect.poll(() => group.podNames(), PATIENT).toEqual([]);
});

test('a session whose code makes up a higher generation loses its sandbox, is told, and goes on; others stay as they are', async () => {
  const pool = { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_POOL_MAX: '0' };
  const [first, second] = await Promise.all([group.start(pool), group.start(pool)]);
  await runIn(first, MARK, 'other');
  await runIn(first, CLAIM, 'claims');
  const before = await group.taken();
  expect((await first.stop()).code).toBe(0);
  const { stdout, session_reset: reset } = await runIn(second, MARK, 'claims');
  expect(second.stderr()).toContain('The runner of the sandbox refuses the session that it belongs to.');
  expect([stdout, reset]).toMatchObject(['False\n', { reason: 'sandbox_lost' }]);
  for (const session of ['claims', 'other']) {
    const next = await runIn(second, 'print(x)', session);
    expect([session, next.stdout, next.session_reset]).toEqual([session, '7\n', undefined]);
  }
  const after = await group.taken();
  expect(after['other']).toBe(before['other']);
  expect(after['claims']).not.toBe(before['claims']);
  await expect.poll(() => group.podNames(), PATIENT).toEqual(Object.values(after).toSorted());
});
