import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { failureOf, openBroker, type TestBroker } from '../../test/support/broker.ts';

const PROGRAM = fileURLToPath(new URL('../../test/support/stdio-tool-server.ts', import.meta.url));
/** Two processes start, of which the first only says which protocol it speaks. */
const STARTS_MS = 60_000;

let opened: TestBroker;

beforeAll(() => {
  vi.stubEnv('GLOVEBOX_KEY', 'canary-of-this-process');
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is the form of a placeholder.
  const env = { TOKEN: '${secret:TOKEN}', PLAIN: 'value' };
  const entry = { command: process.execPath, args: [PROGRAM], env, approve: 'never', max_result_bytes: 1_000_000 };
  opened = openBroker(
    { demo: entry, none: { ...entry, command: '/no/such/program' } },
    {
      mayStart: true,
      secrets: [['TOKEN', 'canary-1234567']],
    },
  );
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await opened[Symbol.asyncDispose]();
});

it('an answer that is too large ends as a limit, whether or not it ends itself', { timeout: STARTS_MS }, async () => {
  expect(await opened.value('demo.size', { bytes: 900_000 })).toHaveLength(900_000);
  expect(await failureOf(opened.call('demo.size', { bytes: 2_000_000 }))).toMatchObject({ code: 'limit' });
  expect(await failureOf(opened.call('demo.flood'))).toMatchObject({ code: 'limit' });
  expect(await opened.value('demo.size', { bytes: 5 })).toBe('xxxxx');
});

it('a command that ends in a call is named, and started again by the next', { timeout: STARTS_MS }, async () => {
  expect(await failureOf(opened.call('demo.exit'))).toMatchObject({
    code: 'upstream',
    message: 'demo closed the connection.',
  });
  expect(await opened.value('demo.size', { bytes: 5 })).toBe('xxxxx');
});

it('a command has its own environment, and its secrets do not come back', { timeout: STARTS_MS }, async () => {
  const env = await opened.value('demo.env');
  expect(env).toMatchObject({ TOKEN: '[secret removed]', PLAIN: 'value' });
  expect(env).not.toHaveProperty('GLOVEBOX_KEY');
});

it('a command that there is not is named', async () => {
  expect(await failureOf(opened.call('none.size'))).toMatchObject({
    code: 'upstream',
    message: 'none cannot be reached (ENOENT).',
  });
});
