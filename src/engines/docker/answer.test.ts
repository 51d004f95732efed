import { expect, test } from 'vitest';
import { keepConnections } from '../../../test/support/kept-connections.ts';
import { askAgain } from './answer.ts';

test('an engine whose kept connections have all broken was taken for one that does not answer', async () => {
  using engine = await keepConnections();
  await Promise.all([1, 2, 3].map(() => engine.docker.version()));
  expect(engine.connections()).toBe(3);
  engine.deafen();
  expect(await askAgain(() => engine.docker.version())).toMatchObject({ ID: 1 });
  expect(engine.connections()).toBe(4);
});

test.each([
  ['refuses connections', 'ECONNREFUSED', 1],
  ['breaks each connection', 'ECONNRESET', 5],
])('an engine that %s is given up', async (_what, code, calls) => {
  let made = 0;
  const call = async () => {
    made += 1;
    throw Object.assign(new Error(code), { code });
  };
  await expect(askAgain(call)).rejects.toThrow(code);
  expect(made).toBe(calls);
});
