import { describe, expect, test } from 'vitest';
import { expectAccessible } from '../support/browser.ts';
import { write } from '../support/page-cells.ts';
import { closeSession, openSession, runPython } from '../support/rest-client.ts';
import { servePage } from '../support/served-page.ts';

const served = servePage();

describe('sessions', () => {
  test('are listed with what they used; a person makes a snapshot, a fork and an export, and closes one', async () => {
    const id = await openSession(served.server);
    await runPython(served.server, 'open("a.txt", "w").write("kept")', { session_id: id });
    await using opened = await served.open('#/sessions');
    const { page, complaints } = opened;
    const actions = page.getByRole('group', { name: `Actions of ${id}` });
    await actions.getByRole('button', { name: 'Snapshot' }).click();
    await page.getByText(/Made the snapshot snp_/).waitFor();
    await actions.getByRole('button', { name: 'Fork' }).click();
    await page.getByText(`a copy of ${id}`).waitFor();
    const [tar] = await Promise.all([
      page.waitForEvent('download'),
      actions.getByRole('button', { name: 'Export' }).click(),
    ]);
    expect(tar.suggestedFilename()).toBe(`${id}.tar`);
    await page.getByText('Background and files').first().click();
    await page.getByText('Nothing has run in the background.').waitFor();
    await expectAccessible(page);
    await actions.getByRole('button', { name: 'Close' }).click();
    await actions.getByRole('button', { name: 'Close and delete its files?' }).click();
    await page.getByText(`Closed ${id}.`).waitFor();
    await actions.waitFor({ state: 'detached' });
    expect(complaints).toEqual([]);
  });

  test('that end while their page is open are told of, and the code goes on in a new one', async () => {
    const id = await openSession(served.server);
    await using opened = await served.open(`#/playground/${id}`);
    const { page } = opened;
    await write(opened, 'print("still here")');
    await closeSession(served.server, id);
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByText(`The session ${id} has ended, or is not yours.`).waitFor();
    await page.getByRole('button', { name: 'Go on in a new session' }).click();
    await page.locator('.cm-content').getByText('still here').waitFor();
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByRole('group', { name: 'Output', exact: true }).getByText('still here').waitFor();
  });
});

test('the last executions are listed with their outcome and output, whoever called for them', async () => {
  await runPython(served.server, 'print("over REST")\nraise ValueError("wrong")');
  await using opened = await served.open('#/executions');
  const { page, complaints } = opened;
  const row = page.getByRole('row').filter({ hasText: 'over REST' }).first();
  await row.getByText('failed', { exact: true }).waitFor();
  await row.getByText('ValueError: wrong', { exact: true }).waitFor();
  await row.locator('summary').click();
  await row.getByRole('group', { name: 'Output', exact: true }).waitFor();
  await expectAccessible(page);
  expect(complaints).toEqual([]);
});

test('the overview shows the pool, the queue and the limits, and the lines of the doctor when asked', async () => {
  await using opened = await served.open('#/overview');
  const { page, complaints } = opened;
  await page.getByText('sandboxes ready', { exact: false }).last().waitFor();
  await page.getByText('Disk (MiB)').waitFor();
  await page.getByRole('button', { name: /glovebox doctor/ }).click();
  await page.getByText('runs code').waitFor();
  await expectAccessible(page);
  expect(complaints).toEqual([]);
});
