import { expect, test } from 'vitest';
import { runPython } from '../support/rest-client.ts';
import { containersOf, startServer } from '../support/server.ts';

test('the pool grows with what was taken at the same time, as far as it may, and is gone with its server', async () => {
  const server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '1', GLOVEBOX_POOL_MAX: '3' } });
  const pool = async () =>
    ((await (await fetch(`${server.url}/health`)).json()) as { pool: { size: number; ready: number } }).pool;
  try {
    await expect.poll(pool, { timeout: 20_000 }).toEqual({ size: 1, ready: 1 });
    const names = ['a', 'b', 'c', 'd'];
    const results = await Promise.all(names.map((name) => runPython(server, 'print(1)', { session_id: name })));
    expect(results.map(({ stdout }) => stdout)).toEqual(names.map(() => '1\n'));
    await expect.poll(pool, { timeout: 20_000 }).toEqual({ size: 3, ready: 3 });
  } finally {
    await server[Symbol.asyncDispose]();
  }
  expect(await containersOf(server)).toEqual([]);
});
