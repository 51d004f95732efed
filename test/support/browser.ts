import { access } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe from 'axe-core';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { expect } from 'vitest';
import { runCommand } from '../../src/lib/run-command.ts';

const CHROMIUM = '/usr/bin/chromium';
/** Longest time in milliseconds for Chromium to be installed, and to start. */
export const BROWSER_SETUP_MS = 300_000;
/** Longest wait of one step; a started sandbox is the slowest of what is waited for. */
const STEP_LIMIT_MS = 15_000;

/** Debian's Chromium, which is installed if need be. */
async function findChromium(): Promise<string> {
  const isThere = () =>
    access(CHROMIUM).then(
      () => true,
      () => false,
    );
  if (await isThere()) return CHROMIUM;
  // Test files run side by side, and apt has one user at a time.
  const apt = (...args: string[]) =>
    runCommand('flock', [join(tmpdir(), 'glovebox-chromium.lock'), 'apt-get', ...args]);
  const install = () => apt('install', '-y', '--no-install-recommends', 'chromium', 'fonts-dejavu-core');
  if ((await install()).code !== 0) {
    await apt('update');
    await install();
  }
  if (await isThere()) return CHROMIUM;
  throw new Error('These tests need Chromium: apt-get install chromium');
}

export interface OpenPage extends AsyncDisposable {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What the browser complained about: errors of scripts, and what the policy of the page forbade. */
  readonly complaints: readonly string[];
  /** Addresses of all requests, those of the tests aside. */
  readonly requests: readonly string[];
}

/** A real browser, each of whose pages is as a person's that has never been here. */
export class TestBrowser implements AsyncDisposable {
  readonly #browser: Browser;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async start(): Promise<TestBrowser> {
    const executablePath = await findChromium();
    // The sandbox of Chromium itself needs rights that root in a container lacks; it shows nothing but our own page.
    return new TestBrowser(
      await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] }),
    );
  }

  async open(url: string, options: Parameters<Browser['newContext']>[0] = {}): Promise<OpenPage> {
    const context = await this.#browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const complaints: string[] = [];
    const requests: string[] = [];
    context.setDefaultTimeout(STEP_LIMIT_MS);
    const page = await context.newPage();
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      // Answers that are no success are part of the tests.
      if (message.type() === 'error' && !/Failed to load resource/.test(message.text()))
        complaints.push(`${message.text()} (${message.location().url})`);
    });
    page.on('request', (request) => requests.push(request.url()));
    await page.goto(url);
    return { page, context, complaints, requests, [Symbol.asyncDispose]: () => context.close() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
}

/** Expects that axe finds nothing that breaks WCAG 2.2 at the levels A and AA. */
export async function expectAccessible(page: Page): Promise<void> {
  // By the debugger, which the policy of the page does not bind.
  await page.evaluate(axe.source);
  const violations: readonly Violation[] = await page.evaluate(async () => {
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    // @ts-expect-error: axe has put itself there
    return (await globalThis.axe.run(document, { runOnly: tags })).violations;
  });
  const said = violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`),
  );
  expect(said).toEqual([]);
}
