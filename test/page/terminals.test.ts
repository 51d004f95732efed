import { describe, expect, test } from 'vitest';
import { expectAccessible, type OpenPage } from '../support/browser.ts';
import { openSession, runPython } from '../support/rest-client.ts';
import { servePage } from '../support/served-page.ts';

const served = servePage();

/** The text on the screen of the terminal. */
const screenOf = ({ page }: OpenPage) => page.locator('.screen .xterm-rows');

/** Opens a terminal in a session, and waits for the prompt of its shell. */
async function openTerminal(session: string): Promise<OpenPage> {
  const opened = await served.open(`#/terminals/${session}`);
  await opened.page.getByRole('button', { name: 'New terminal' }).click();
  await screenOf(opened).getByText(/[$#]/).first().waitFor();
  return opened;
}

async function type({ page }: OpenPage, text: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Terminal input' }).focus();
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
}

describe('a terminal on the page', () => {
  test('is a shell of the session, which goes on when the page is loaded again', async () => {
    const session = await openSession(served.server);
    await using opened = await openTerminal(session);
    const { page, complaints } = opened;
    await type(opened, 'echo from-the-page > a.txt; echo a-$((1+1))');
    await screenOf(opened).getByText('a-2').waitFor();
    expect((await runPython(served.server, 'print(open("a.txt").read())', { session_id: session })).stdout).toContain(
      'from-the-page',
    );
    await expectAccessible(page);
    await page.reload();
    await screenOf(opened).getByText('a-2').waitFor();
    await type(opened, 'echo b-$((1+2))');
    await screenOf(opened).getByText('b-3').waitFor();
    await type(opened, 'exit 3');
    await page.getByText('The terminal has ended with exit code 3.').waitFor();
    expect(complaints).toEqual([]);
  });

  test('has the size of the window', async () => {
    await using opened = await openTerminal(await openSession(served.server));
    const { page } = opened;
    const size = async (marker: string) => {
      await type(opened, `echo ${marker}-$(stty size | tr " " "x")-`);
      const shown = screenOf(opened).getByText(new RegExp(`${marker}-\\d+x\\d+-`));
      return (
        /(\d+)x(\d+)-/
          .exec((await shown.textContent()) ?? '')
          ?.slice(1)
          .map(Number) ?? []
      );
    };
    const [rows = 0, cols = 0] = await size('one');
    expect(rows).toBeGreaterThan(10);
    await page.setViewportSize({ width: 700, height: 700 });
    const fewer = async () => (await size(`more${Math.random().toString(36).slice(2, 6)}`))[1] ?? cols;
    await expect.poll(fewer).toBeLessThan(cols);
  });

  test('may not set the title or the clipboard, make links, or run scripts', async () => {
    await using opened = await openTerminal(await openSession(served.server));
    const { page, complaints, requests } = opened;
    const title = await page.title();
    const hostile = [
      '\\033]0;evil\\007\\033]52;c;ZXZpbA==\\007',
      '\\033]8;;javascript:alert(1)\\007link\\033]8;;\\007 <img src=x onerror=alert(2)>',
    ].join('');
    await type(opened, `printf '${hostile}'; echo; echo over-$((1+1))`);
    await screenOf(opened).getByText('over-2').waitFor();
    let dialogs = 0;
    page.on('dialog', (dialog) => {
      dialogs += 1;
      void dialog.dismiss();
    });
    // What is above it takes the mouse for selections.
    const box = await screenOf(opened).getByText('link <img src=x onerror=alert(2)>', { exact: true }).boundingBox();
    await page.mouse.click((box?.x ?? 0) + 10, (box?.y ?? 0) + 5);
    expect(await page.title()).toBe(title);
    expect(await screenOf(opened).locator('a, img').count()).toBe(0);
    expect([dialogs, complaints]).toEqual([0, []]);
    const { host } = new URL(served.server.url);
    expect(requests.filter((url) => !url.startsWith('data:') && new URL(url).host !== host)).toEqual([]);
  });

  test('is closed by its button, and the session lists no more of it', async () => {
    const session = await openSession(served.server);
    await using opened = await openTerminal(session);
    const { page } = opened;
    await page.getByRole('button', { name: 'End this terminal' }).click();
    await page.getByText('The terminal has ended. It was closed.').waitFor();
    await page.getByRole('button', { name: 'Terminal 1' }).waitFor({ state: 'detached' });
  });
});

test('a terminal is opened in a new session from the view, and in another from its row', async () => {
  await using opened = await served.open('#/terminals');
  const { page } = opened;
  await page.getByRole('button', { name: 'Open a terminal in a new session' }).click();
  await screenOf(opened).getByText(/[$#]/).first().waitFor();
  const id = await openSession(served.server);
  await page.getByRole('link', { name: 'Sessions', exact: true }).click();
  await page
    .getByRole('group', { name: `Actions of ${id}` })
    .getByRole('button', { name: 'Terminal' })
    .click();
  await page.getByText('No terminal is open in this session.').waitFor();
});
