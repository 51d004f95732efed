import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectAccessible, type OpenPage } from '../support/browser.ts';
import { makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';
import { run } from '../support/page-cells.ts';
import { servePage } from '../support/served-page.ts';

let index: IndexServer;
beforeAll(async () => {
  index = await IndexServer.start();
  index.add(makeWheel('small-thing', '1.0', { files: { 'small_thing/__init__.py': 'word = "it is there"\n' } }));
  index.add(makeWheel('large-thing', '2.0', { padding: 4_000_000 }));
});
const served = servePage(() => ({ PIP_INDEX_URL: index.url }));
afterAll(async () => {
  await index[Symbol.asyncDispose]();
});

async function install({ page }: OpenPage, packages: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Packages to install' }).fill(packages);
  await page.getByRole('button', { name: 'Install' }).click();
}

test.each(['light', 'dark'] as const)(
  'in %s, an installation shows each file while it comes, and can be stopped',
  async (colorScheme) => {
    index.faults.set('/files/large_thing', { kind: 'halt' });
    await using opened = await served.open('', { colorScheme });
    const { page, complaints } = opened;
    await install(opened, 'small-thing, large-thing');
    const form = page.getByRole('form', { name: 'Install packages' });
    const progress = page.getByRole('list', { name: 'Progress of the installation' });
    await progress.getByText(/^downloading small_thing-1\.0\S+: \d+ kB of \d+ kB/).waitFor();
    await progress.getByText(/^downloading large_thing-2\.0\S+: [\d.]+ [kM]B of 4\.0 MB$/).waitFor();
    await expectAccessible(page);
    await form.getByRole('button', { name: 'Stop' }).click();
    await progress.waitFor({ state: 'detached' });
    await form.getByRole('listitem').filter({ hasText: 'large-thing' }).getByText('not tried').waitFor();
    await page.getByRole('button', { name: 'Install' }).waitFor();
    expect(complaints).toEqual([]);
  },
);

test('what was installed is listed with its version, and code can use it', async () => {
  index.faults.clear();
  await using opened = await served.open();
  const { page, complaints } = opened;
  await install(opened, 'small-thing');
  const form = page.getByRole('form', { name: 'Install packages' });
  await form.getByRole('listitem').filter({ hasText: 'small-thing 1.0 installed' }).waitFor();
  await run(opened, 'import small_thing; print(small_thing.word)');
  await page.getByRole('group', { name: 'Output', exact: true }).getByText('it is there').waitFor();
  expect(complaints).toEqual([]);
});
