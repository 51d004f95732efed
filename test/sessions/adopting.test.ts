import { describe, expect, test } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { runPython } from '../support/rest-client.ts';
import { containersOf, newStateDir, type Server, startServer } from '../support/server.ts';

const ENV = { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_CHECKPOINT_AFTER_S: '0' };
const NAMES = Array.from({ length: 8 }, (_, index) => `s${index}`);
const PATIENCE = { timeout: 20_000 };

const adopting = async ({ url }: Server) =>
  ((await (await fetch(`${url}/health`)).json()) as { adopting: number }).adopting;
const listed = async ({ url }: Server) =>
  ((await (await fetch(`${url}/sessions`)).json()) as { sessions: { session_id: string; contexts: string[] }[] })
    .sessions;

async function newPlace() {
  return { stateDir: newStateDir(), port: await freePort(), env: ENV };
}

/** A server whose sessions each have a context with a variable. */
async function startUsed(place: Awaited<ReturnType<typeof newPlace>>): Promise<Server> {
  const server = await startServer(place);
  await Promise.all(NAMES.map((session_id) => runPython(server, 'x = 41', { session_id, context: 'c' })));
  return server;
}

async function expectAll(server: Server): Promise<void> {
  for (const session_id of NAMES) {
    const next = await runPython(server, 'print(x + 1)', { session_id, context: 'c' });
    expect(next).toMatchObject({ stdout: '42\n', context: { created: false } });
    expect(next).not.toHaveProperty('session_reset');
  }
  expect(await containersOf(server)).toHaveLength(NAMES.length);
}

describe('a server that was killed', () => {
  test('lists all its sessions before it has adopted them, serves each, and says when all are adopted', async () => {
    const place = await newPlace();
    await (await startUsed(place)).kill();
    await using second = await startServer(place);
    const sessions = await listed(second);
    expect(sessions.map(({ session_id: id }) => id).sort()).toEqual(NAMES);
    expect(sessions.map(({ contexts }) => contexts)).toEqual(NAMES.map(() => ['c']));
    expect(await runPython(second, 'print(x)', { session_id: 's0', context: 'c' })).toMatchObject({ stdout: '41\n' });
    await expect.poll(() => adopting(second), PATIENCE).toBe(0);
    await expectAll(second);
  });

  test('and again while it adopts, leaves all its sessions to the next', async () => {
    const place = await newPlace();
    await (await startUsed(place)).kill();
    for (let n = 0; n < 2; n += 1) await (await startServer(place)).kill();
    await using last = await startServer(place);
    await expectAll(last);
  });

  test('and is stopped while it adopts, leaves no container behind', async () => {
    const place = await newPlace();
    await (await startUsed(place)).kill();
    const second = await startServer(place);
    expect(await second.stop()).toEqual({ code: 0, signal: null });
    expect(await containersOf(second)).toEqual([]);
  });

  test('and is stopped to keep its sessions while it adopts, leaves them to the next', async () => {
    const place = await newPlace();
    await (await startUsed(place)).kill();
    const second = await startServer({ ...place, env: { ...ENV, GLOVEBOX_ON_SHUTDOWN: 'keep' } });
    expect(await second.stop()).toEqual({ code: 0, signal: null });
    await using last = await startServer(place);
    await expectAll(last);
  });
});
