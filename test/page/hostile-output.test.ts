import { describe, expect, test } from 'vitest';
import { run } from '../support/page-cells.ts';
import { servePage } from '../support/served-page.ts';

const served = servePage();

describe('hostile output', () => {
  test('is text: HTML, scripts, escape sequences, and marks that turn the direction', async () => {
    await using opened = await served.open();
    const { page, complaints } = opened;
    const code = [
      'print("<img src=x onerror=alert(1)><script>alert(2)</script>")',
      'print("\\x1b[31mred\\x1b[0m \\x1b]0;title\\x07plain")',
      'print("safe\\u202Eexe.txt", "a\\x00b")',
    ].join('\n');
    let dialogs = 0;
    page.on('dialog', (dialog) => {
      dialogs += 1;
      void dialog.dismiss();
    });
    await run(opened, code);
    await page.locator('.status', { hasText: 'done' }).waitFor();
    const output = page.getByRole('group', { name: 'Output', exact: true });
    const text = (await output.textContent()) ?? '';
    expect(text).toContain('<img src=x onerror=alert(1)><script>alert(2)</script>');
    expect(text).toContain('red plain');
    expect(text).toContain('safe⟨U+202E⟩exe.txt a␀b');
    expect(await output.locator('.ansi-red').textContent()).toBe('red');
    expect(await output.locator('img, script').count()).toBe(0);
    expect([dialogs, complaints]).toEqual([0, []]);
  });

  test('of ten megabytes in one line leaves the page usable', async () => {
    await using opened = await served.open();
    const { page } = opened;
    await run(opened, 'print("x" * 10_000_000)\nprint("last")');
    await page.locator('.status', { hasText: 'done' }).waitFor();
    await page.getByText(/of output are not shown here/).waitFor();
    expect(((await page.getByRole('group', { name: 'Output', exact: true }).textContent()) ?? '').length).toBeLessThan(
      300_000,
    );
    await page.getByRole('link', { name: 'Sessions', exact: true }).click();
    await page.getByRole('heading', { name: 'Sessions' }).waitFor();
  });

  test('as HTML has neither the page nor the network, with scripts or without', async () => {
    await using opened = await served.open();
    const { page, requests } = opened;
    const html = [
      '<p id=told>nothing ran</p><p id=handled></p>',
      "<img src=x onerror=\\\"document.getElementById('handled').textContent='handler'\\\">",
      "<script>const say = (text) => { document.getElementById('told').textContent = text; };",
      "let key; try { key = parent.document.title; } catch { key = 'no parent'; }",
      "let kept; try { kept = sessionStorage.length; } catch { kept = 'no storage'; }",
      `fetch('${served.server.url}/sessions').then(() => say('fetched'), () => say([key, kept, 'no network'].join(', ')));</script>`,
    ].join('');
    await run(opened, `class Evil:\n    def _repr_html_(self): return "${html}"\ndisplay(Evil())`);
    const told = page.locator('iframe').contentFrame().locator('#told');
    await expect.poll(() => told.textContent()).toBe('nothing ran');
    expect(await page.locator('iframe').contentFrame().locator('#handled').textContent()).toBe('');
    await page.getByRole('button', { name: 'Run them in the frame' }).click();
    await expect.poll(() => told.textContent()).toBe('no parent, no storage, no network');
    expect(requests.filter((url) => !url.startsWith(`${served.server.url}/`) && !url.startsWith('data:'))).toEqual([]);
  });
});
