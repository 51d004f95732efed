import { afterAll, beforeAll, expect, test } from 'vitest';
import type { OpenPage } from '../support/browser.ts';
import { makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';
import { run } from '../support/page-cells.ts';
import { servePage } from '../support/served-page.ts';

let index: IndexServer;
beforeAll(async () => {
  index = await IndexServer.start();
  index.add(makeWheel('small-thing', '1.0', { files: { 'small_thing/__init__.py': 'word = "it is there"\n' } }));
});
const served = servePage(() => ({ PIP_INDEX_URL: index.url }));
afterAll(async () => {
  await index[Symbol.asyncDispose]();
});

async function install({ page }: OpenPage, packages: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Packages to install' }).fill(packages);
  await page.getByRole('button', { name: 'Install' }).click();
}

test('what was installed is listed with its version, and code can use it', async () => {
  await using opened = await served.open();
  const { page, complaints } = opened;
  await install(opened, 'small-thing');
  const form = page.getByRole('form', { name: 'Install packages' });
  await form.getByRole('listitem').filter({ hasText: 'small-thing 1.0 installed' }).waitFor();
  await run(opened, 'import small_thing; print(small_thing.word)');
  await page.getByRole('group', { name: 'Output', exact: true }).getByText('it is there').waitFor();
  expect(complaints).toEqual([]);
});
