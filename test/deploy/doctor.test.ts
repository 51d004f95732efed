import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { containersOf, environment, newStateDir, runCli } from '../support/server.ts';

/** Runs `glovebox doctor`; its lines by what they are about. */
async function examine(env: Record<string, string>) {
  const stateDir = newStateDir();
  const { code, stdout } = await runCli(['doctor'], environment(stateDir, { GLOVEBOX_PORT: '0', ...env }));
  const lines = stdout.matchAll(/^(ok|warn|fail) +(\S+(?: \S+)?) {2,}(.*(?:\n {22}.*)?)$/gm);
  const levels = Object.fromEntries([...lines].map(([, level, what = '']) => [what, level]));
  return { code, stdout, levels, stateDir };
}

test('finds everything in order where it is, and leaves nothing', async () => {
  const { code, stdout, levels, stateDir } = await examine({ GLOVEBOX_INDEX_URL: import.meta.dirname });
  expect(code, stdout).toBe(0);
  expect(levels).toMatchObject({
    'state directory': 'ok',
    port: 'ok',
    'package index': 'ok',
    engine: 'ok',
    runtimes: 'ok',
    'memory limit': 'ok',
    'pids limit': 'ok',
    sandbox: 'ok',
    'seen inside': 'ok',
    "engine's word": 'ok',
  });
  expect(await containersOf({ stateDir })).toEqual([]);
});

test('says what is not in order, each with a next step, and goes on to the rest', async () => {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
  const address = holder.address();
  const { code, stdout, levels } = await examine({
    GLOVEBOX_PORT: String(typeof address === 'object' ? address?.port : 0),
    GLOVEBOX_INDEX_URL: 'http://127.0.0.1:1/simple',
    GLOVEBOX_RUNTIME: 'nonesuch',
  });
  holder.close();
  expect(code).toBe(1);
  expect(levels).toMatchObject({ port: 'warn', 'package index': 'fail', engine: 'ok', sandbox: 'fail' });
  expect(stdout).toMatch(/package index .*127\.0\.0\.1:1.*\n {22}.*GLOVEBOX_INDEX_URL/);
  expect(stdout).toMatch(/sandbox .*nonesuch.*\n {22}.*GLOVEBOX_RUNTIME/);
});

test('an engine that does not answer is told with its address, and where that comes from', async () => {
  const { code, stdout, levels } = await examine({
    DOCKER_HOST: 'unix:///nowhere/engine.sock',
    GLOVEBOX_INDEX_URL: import.meta.dirname,
  });
  expect(code).toBe(1);
  expect(levels).toMatchObject({ 'state directory': 'ok', engine: 'fail' });
  expect(stdout).toMatch(/\/nowhere\/engine\.sock.*DOCKER_HOST/);
});
