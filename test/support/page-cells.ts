import type { OpenPage } from './browser.ts';

/** Puts code into a cell of the playground, as a person pastes it over what is there. */
export async function write({ page }: OpenPage, code: string, cell = 1): Promise<void> {
  const editor = page.locator('.cm-content').nth(cell - 1);
  await editor.click();
  await page.keyboard.press('Control+A');
  await page.evaluate(`(() => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/plain', ${JSON.stringify(code)});
    const paste = new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true });
    document.activeElement.dispatchEvent(paste);
  })()`);
}

/** Runs code in a cell. */
export async function run(opened: OpenPage, code: string): Promise<void> {
  await write(opened, code);
  await opened.page.getByRole('button', { name: 'Run', exact: true }).first().click();
}
