import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { BROWSER_SETUP_MS, expectAccessible, TestBrowser } from '../support/browser.ts';
import { type NotesServer, startNotes, writing } from '../support/notes-server.ts';
import { runPython } from '../support/rest-client.ts';
import { environment, newStateDir, runCli, type Server, startServer } from '../support/server.ts';

let notes: NotesServer;
let servers: { readonly name: string; readonly server: Server; readonly approver: string; readonly runner?: string }[];
let browser: TestBrowser;

beforeAll(async () => {
  [notes, browser] = await Promise.all([startNotes(), TestBrowser.start()]);
  const start = async (name: string, more: Record<string, string>) => {
    const stateDir = newStateDir();
    const env = { ...notes.settings(stateDir), GLOVEBOX_DEFAULT_SESSION: 'new', GLOVEBOX_POOL_SIZE: '1', ...more };
    const make = async (...words: string[]) =>
      (await runCli(['key', 'new', ...words], environment(stateDir, env))).stdout.trim();
    const approver = await make('person', '--may', 'approve');
    const runner = more['GLOVEBOX_AUTH'] === 'keys' ? { runner: await make('alice') } : {};
    return { name, server: await startServer({ stateDir, env }), approver, ...runner };
  };
  servers = [await start('without keys', {}), await start('with keys', { GLOVEBOX_AUTH: 'keys' })];
}, BROWSER_SETUP_MS);
beforeEach(() => void notes.written.splice(0));
afterAll(async () => {
  await browser[Symbol.asyncDispose]();
  for (const { server } of servers) await server[Symbol.asyncDispose]();
  await notes[Symbol.asyncDispose]();
});

async function openApprovals(at: (typeof servers)[number], key = at.approver) {
  const opened = await browser.open(`${at.server.url}/#/approvals`);
  await opened.page.getByLabel('Key for answers').fill(key);
  await opened.page.getByRole('button', { name: 'Show the questions' }).click();
  return opened;
}

const options = ({ runner }: (typeof servers)[number]) =>
  runner === undefined ? {} : { headers: { authorization: `Bearer ${runner}` } };

test('a question appears, is answered, and is gone, on a server with keys and on one without', async () => {
  for (const at of servers) {
    await using opened = await openApprovals(at);
    const { page, complaints } = opened;
    await page.getByText('No question waits.').waitFor();
    const running = runPython(at.server, writing('one', 'two', 'three'), {}, options(at));
    await page.getByRole('heading', { name: 'May code call write of notes?' }).waitFor();
    await page.getByRole('link', { name: 'Approvals (1)' }).waitFor();
    await page.getByText('{"text":"one"}').waitFor();
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Allow once' }).click();
    await page.getByText('{"text":"two"}').waitFor();
    await page.getByRole('button', { name: 'Refuse' }).click();
    await page.getByText('{"text":"three"}').waitFor();
    await page.getByRole('button', { name: 'Allow for this session' }).click();
    await page.getByText('No question waits.').waitFor();
    expect((await running).stdout).toContain('written\napproval_refused\nwritten\n');
    expect(complaints).toEqual([]);
  }
});

test('what code has written into a question is text, in the order in which it stands there', async () => {
  const [at] = servers;
  if (!at) throw new Error('no server');
  await using opened = await openApprovals(at);
  const { page, complaints } = opened;
  const code = `import tools
tools.notes.write(text='<img src=x onerror="document.title=1">\\u202e\\u200b' + "y" * 100_000)`;
  const running = runPython(at.server, code, {}, options(at));
  const shown = page.getByRole('group', { name: 'Arguments' });
  await shown.waitFor();
  expect(await shown.textContent()).toContain('<img src=x onerror=\\"document.title=1\\">\\u202e\\u200byyy');
  expect(await page.locator('article img').count()).toBe(0);
  await page.getByText('Parts of the arguments are left out').waitFor();
  await expectAccessible(page);
  await page.getByRole('button', { name: 'Refuse' }).click();
  expect((await running).status).toBe('error');
  expect(complaints).toEqual([]);
});

test('a key that may answer nothing is refused with words, and kept nowhere', async () => {
  const [, at] = servers;
  if (!at) throw new Error('no server');
  for (const key of ['wrong', at.runner ?? '']) {
    await using opened = await openApprovals(at, key);
    const { page } = opened;
    await page.getByRole('alert').getByText('This key may answer no questions').waitFor();
    await expectAccessible(page);
    expect(await page.evaluate("sessionStorage.getItem('glovebox.approver-key')")).toBeNull();
    await page.getByRole('link', { name: 'Sessions' }).click();
    await page.getByLabel('Key', { exact: true }).waitFor();
  }
});

test('the key for answers is forgotten when its owner says so, and survives a reload of its tab', async () => {
  const [at] = servers;
  if (!at) throw new Error('no server');
  await using opened = await openApprovals(at);
  const { page } = opened;
  await page.getByText('No question waits.').waitFor();
  await page.reload();
  await page.getByText('No question waits.').waitFor();
  await page.getByRole('button', { name: 'Forget the key for answers' }).click();
  await page.getByLabel('Key for answers').waitFor();
  expect(await page.evaluate("sessionStorage.getItem('glovebox.approver-key')")).toBeNull();
});
