import { describe, expect, test } from 'vitest';
import { expectAccessible } from '../support/browser.ts';
import { run } from '../support/page-cells.ts';
import { servePage } from '../support/served-page.ts';

const served = servePage();

describe('the page', () => {
  test('asks nobody else for anything, sets no cookie, and breaks no rule of its own policy', async () => {
    await using opened = await served.open();
    const { page, context, complaints, requests } = opened;
    for (const [link, heading] of [
      ['Sessions', 'Sessions'],
      ['Executions', 'Executions'],
      ['Overview', 'Overview'],
      ['Playground', 'Playground'],
    ] as const) {
      await page.getByRole('link', { name: link, exact: true }).click();
      await page.getByRole('heading', { name: heading, level: 1 }).waitFor();
    }
    await page.locator('.cm-content').waitFor();
    expect(await context.cookies()).toEqual([]);
    expect(requests.filter((url) => !url.startsWith(`${served.server.url}/`))).toEqual([]);
    expect(complaints).toEqual([]);
  });

  test('is less than 250 kB as it is sent', async () => {
    await using opened = await served.open();
    const { page } = opened;
    await page.locator('.cm-content').waitFor();
    const bytes = await page.evaluate<number>(
      `[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
        .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)`,
    );
    expect(bytes).toBeGreaterThan(50_000);
    expect(bytes).toBeLessThan(250_000);
  });
});

describe.each(['light', 'dark'] as const)('in %s', (colorScheme) => {
  test.each([
    ['wide', 1280],
    ['on a phone', 390],
  ])('every view can be used by all, %s', async (_, width) => {
    await using opened = await served.open('', { colorScheme, viewport: { width, height: 844 } });
    const { page } = opened;
    await run(opened, 'print("\\x1b[33mcolour\\x1b[0m")\nraise KeyError("k")');
    await page.getByRole('alert').waitFor();
    for (const view of ['playground', 'sessions', 'executions', 'overview']) {
      await page.evaluate(`location.hash = '#/${view}'`);
      await page.getByRole('heading', { level: 1, name: new RegExp(view, 'i') }).waitFor();
      await expectAccessible(page);
      const overflow = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
      expect(overflow).toBeLessThanOrEqual(0);
    }
  });
});
