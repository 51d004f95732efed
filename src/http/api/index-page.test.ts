import { Hono } from 'hono';
import { expect, test } from 'vitest';
import type { Env } from '../route.ts';
import { indexRoute } from './index-page.ts';

const ACCEPTS = ['text/plain', 'application/json', 'text/html'];

/** The page as each type, with what the sandboxes lack. */
async function render(missing: readonly string[]): Promise<string[]> {
  const route = indexRoute(
    '1.0.0',
    () => [route],
    () => missing,
  );
  const app = new Hono<Env>().get('/', route.handle);
  return await Promise.all(ACCEPTS.map(async (Accept) => (await app.request('/', { headers: { Accept } })).text()));
}

test('the page says what sandboxes lack, and nothing of it where they lack nothing', async () => {
  const [text = '', json = '', html = ''] = await render(['pids', 'inodes']);
  expect(text).toContain('not sealed as asked: pids, inodes.');
  expect(JSON.parse(json)).toMatchObject({ missing: ['pids', 'inodes'] });
  expect(html).toContain('<strong>The sandboxes of this server are not sealed as asked: pids, inodes.</strong>');
  for (const page of await render([])) expect(page).not.toMatch(/sealed as|missing/);
});
