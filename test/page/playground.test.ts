import { describe, expect, test } from 'vitest';
import { expectAccessible } from '../support/browser.ts';
import { run, write } from '../support/page-cells.ts';
import { servePage } from '../support/served-page.ts';

const served = servePage();

describe('the playground', () => {
  test('shows output while it comes, keeps variables in a context, and has a link to its session', async () => {
    await using opened = await served.open();
    const { page, complaints } = opened;
    await run(opened, 'print("first")\nx = 41\ny = x + 1\nprint(y)');
    await page.locator('.status', { hasText: 'done' }).waitFor();
    expect(await page.getByRole('group', { name: 'Output', exact: true }).textContent()).toBe('first\n42\n');
    await page.getByRole('button', { name: 'Add a cell' }).click();
    await write(opened, 'print(x * 2)', 2);
    await page.keyboard.press('Control+Enter');
    await page.getByRole('region', { name: 'Cell 2' }).getByText('82').waitFor();
    await expectAccessible(page);

    const link = await page.evaluate<string>('location.href');
    expect(link).toMatch(/#\/playground\/gbx_/);
    await using other = await served.browser.open(link);
    await run(other, 'print(x + 1)');
    await other.page.getByRole('group', { name: 'Output', exact: true }).getByText('42').waitFor();
    expect(complaints).toEqual([]);
  });

  test('shows pictures, tables and exceptions', async () => {
    await using opened = await served.open();
    const { page, complaints } = opened;
    const code = [
      'class Table:',
      '    def _repr_html_(self): return "<table><tr><td style=\'color:red\'>cell of a table</td></tr></table>"',
      'class Picture:',
      "    def _repr_svg_(self): return \"<svg xmlns='http://www.w3.org/2000/svg' width='90' height='90'><circle r='40' cx='45' cy='45'/></svg>\"",
      'display(Table())',
      'display(Picture())',
      '1 / 0',
    ].join('\n');
    await run(opened, code);
    await page.getByRole('alert').getByText('ZeroDivisionError').waitFor();
    const frames = page.locator('iframe');
    await frames.nth(0).contentFrame().getByText('cell of a table').waitFor();
    await frames.nth(1).contentFrame().locator('circle').waitFor();
    expect(complaints).toEqual([]);
  });

  test('stops a program at once, and shows what it had put out', async () => {
    await using opened = await served.open();
    const { page } = opened;
    await run(opened, 'import time\nprint("begun", flush=True)\ntime.sleep(600)');
    await page.getByRole('group', { name: 'Output', exact: true }).getByText('begun').waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.locator('.status', { hasText: 'stopped' }).waitFor();
    expect(await page.getByRole('group', { name: 'Output', exact: true }).textContent()).toContain('begun');
  });

  test('takes files, lists and fetches those that code has made, and deletes them', async () => {
    await using opened = await served.open();
    const { page } = opened;
    await page.locator('.cm-content').waitFor();
    const sent = { name: 'data.txt', mimeType: 'text/plain', buffer: Buffer.from('from a person') };
    await page.getByLabel('Drop files here, or choose some').setInputFiles(sent);
    await page.getByRole('button', { name: 'data.txt', exact: true }).waitFor();
    await run(opened, 'open("made.txt", "w").write(open("data.txt").read().upper())');
    const [fetched] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('region', { name: 'Files' }).getByRole('button', { name: 'made.txt', exact: true }).click(),
    ]);
    expect(fetched.suggestedFilename()).toBe('made.txt');
    const chunks: Buffer[] = [];
    for await (const chunk of await fetched.createReadStream()) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe('FROM A PERSON');
    page.on('dialog', (dialog) => void dialog.accept());
    await page.getByRole('button', { name: 'Delete data.txt' }).click();
    await page.getByRole('button', { name: 'data.txt', exact: true }).waitFor({ state: 'detached' });
  });

  test('refuses a file of two gigabytes before any of it is sent', async () => {
    await using opened = await served.open();
    const { page, requests } = opened;
    await page.locator('.cm-content').waitFor();
    await page.getByText('The disk of a session holds 67.1 MB.').waitFor();
    // A file of that size cannot be made here, so it only says that it is as large.
    await page.evaluate(`(() => {
      const file = Object.defineProperty(new File([], 'huge.bin'), 'size', { value: 2 ** 31 });
      const event = new DragEvent('drop', { bubbles: true, cancelable: true });
      Object.defineProperty(event, 'dataTransfer', { value: { files: [file] } });
      document.querySelector('section.drop').dispatchEvent(event);
    })()`);
    await page.getByRole('alert').getByText('huge.bin has 2.1 GB; the disk of a session holds 67.1 MB.').waitFor();
    expect(requests.filter((url) => url.includes('huge.bin'))).toEqual([]);
  });

  test('says why packages could not be installed', async () => {
    await using opened = await served.open();
    const { page } = opened;
    await page.getByRole('textbox', { name: 'Packages to install' }).fill('https://evil.example/x.whl');
    await page.getByRole('button', { name: 'Install' }).click();
    await page.getByRole('form', { name: 'Install packages' }).getByRole('alert').waitFor();
  });
});
