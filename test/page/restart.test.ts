import { afterAll, beforeAll, expect, test } from 'vitest';
import { BROWSER_SETUP_MS, TestBrowser } from '../support/browser.ts';
import { newStateDir, startServer } from '../support/server.ts';

let browser: TestBrowser;

beforeAll(async () => {
  browser = await TestBrowser.start();
}, BROWSER_SETUP_MS);
afterAll(async () => {
  await browser[Symbol.asyncDispose]();
});

test('a page whose server restarts says so, and goes on in the same session', async () => {
  const stateDir = newStateDir();
  const env = { GLOVEBOX_POOL_SIZE: '1', GLOVEBOX_INSTANCE: 'page' };
  const first = await startServer({ stateDir, env: { ...env, GLOVEBOX_ON_SHUTDOWN: 'keep' } });
  await using opened = await browser.open(`${first.url}/#/playground`);
  const { page } = opened;
  await page.locator('.cm-content').waitFor();
  await page
    .getByRole('textbox', { name: 'Code of cell 1' })
    .fill('open("kept", "a").write("x")\nprint(open("kept").read())');
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.locator('.status', { hasText: 'done' }).waitFor();
  await first.stop();
  await page.getByText('The server does not answer.').first().waitFor();
  await using _second = await startServer({ stateDir, env, port: first.port });
  await page.getByText('The server does not answer.').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.getByRole('group', { name: 'Output', exact: true }).getByText('xx').waitFor();
  expect(await page.getByRole('alert').count()).toBe(0);
});
