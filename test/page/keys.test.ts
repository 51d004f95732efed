import { afterAll, beforeAll, expect, test } from 'vitest';
import { BROWSER_SETUP_MS, expectAccessible, TestBrowser } from '../support/browser.ts';
import { environment, newStateDir, runCli, type Server, startServer } from '../support/server.ts';

let server: Server;
let browser: TestBrowser;
let env: Record<string, string>;

beforeAll(async () => {
  const stateDir = newStateDir();
  env = { GLOVEBOX_AUTH: 'keys', GLOVEBOX_API_KEYS_FILE: `${stateDir}/keys.json`, GLOVEBOX_POOL_SIZE: '1' };
  await newKey('first', stateDir);
  [server, browser] = await Promise.all([startServer({ env, stateDir }), TestBrowser.start()]);
}, BROWSER_SETUP_MS);
afterAll(async () => {
  await browser[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function newKey(name: string, stateDir = server.stateDir): Promise<string> {
  const { stdout } = await runCli(['key', 'new', name], environment(stateDir, env));
  return /gbk_\S+|\S{30,}/.exec(stdout)?.[0] ?? '';
}

async function enter(key: string) {
  const opened = await browser.open(`${server.url}/#/sessions`);
  await opened.page.getByLabel('Key').fill(key);
  await opened.page.getByRole('button', { name: 'Open' }).click();
  return opened;
}

test('a key is asked for, kept in its tab alone, and shows what is of its owner alone', async () => {
  const [alice, bob] = [await newKey('alice'), await newKey('bob')];
  const made = await fetch(`${server.url}/sessions`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${bob}`, 'content-type': 'application/json' },
    body: '{"name": "of-bob"}',
  });
  expect(made.status).toBe(201);
  await using opened = await enter(alice);
  const { page, context, complaints } = opened;
  await page.getByText('You have no sessions.').waitFor();
  await page.reload();
  await page.getByText('You have no sessions.').waitFor();
  const other = await context.newPage();
  await other.goto(`${server.url}/#/sessions`);
  await other.getByLabel('Key').waitFor();
  expect(await context.cookies()).toEqual([]);
  expect(await page.evaluate('Object.keys(localStorage)')).toEqual([]);
  await other.getByLabel('Key').fill(bob);
  await other.getByRole('button', { name: 'Open' }).click();
  await other.getByRole('link', { name: 'of-bob' }).waitFor();
  await page.getByRole('button', { name: 'Forget key' }).click();
  await page.getByLabel('Key').waitFor();
  expect(await page.evaluate("sessionStorage.getItem('glovebox.key')")).toBeNull();
  expect(complaints).toEqual([]);
});

test('a wrong key is refused with words, and the page for it can be used by all', async () => {
  await using opened = await enter('wrong');
  const { page } = opened;
  await page.getByRole('alert').getByText('The server does not accept this key').waitFor();
  await expectAccessible(page);
});

test('a key that is revoked while its page is open brings back the question for a key', async () => {
  const key = await newKey('carol');
  await using opened = await enter(key);
  const { page } = opened;
  await page.getByText('You have no sessions.').waitFor();
  const { code } = await runCli(['key', 'revoke', 'carol'], environment(server.stateDir, env));
  expect(code).toBe(0);
  await page.getByRole('alert').getByText('was revoked').waitFor();
});

test('a key in the address is not used, is taken out, and is told of', async () => {
  const key = await newKey('dave');
  await using opened = await browser.open(`${server.url}/?key=${key}#/sessions`);
  const { page } = opened;
  await page.getByText('There was a key in the address of this page.').waitFor();
  expect(await page.evaluate<string>('location.href')).not.toContain(key);
  await page.getByLabel('Key').waitFor();
});

test('a terminal is shown with the key of its tab, which is in no address', async () => {
  const key = await newKey('carol');
  await using opened = await enter(key);
  const { page, complaints, requests } = opened;
  await page.getByRole('link', { name: 'Terminals', exact: true }).click();
  await page.getByRole('button', { name: 'Open a terminal in a new session' }).click();
  await page.locator('.screen .xterm-rows').getByText(/[$#]/).first().waitFor();
  expect(requests.filter((url) => url.includes(key))).toEqual([]);
  expect(complaints).toEqual([]);
});
