/**
 * Measures how soon the page of a running server is there, and what it weighs: `node scripts/first-paint.ts URL [times]`.
 * Each time a browser that has never seen it opens it, straight and as over a slow telephone network.
 */
import { type Browser, chromium } from 'playwright-core';

const CHROMIUM = '/usr/bin/chromium';
const TIMES = 7;
/** What browsers call slow 4G: 1.6 Mbit/s down, 0.75 Mbit/s up, 150 ms there and back. */
const SLOW = { offline: false, latency: 150, downloadThroughput: 1_600_000 / 8, uploadThroughput: 750_000 / 8 };

/** Times in milliseconds since the page was asked for, and bytes as they are sent. */
interface Visit {
  readonly firstPaintMs: number;
  readonly editorMs: number;
  readonly bytesAtFirstPaint: number;
  readonly bytes: number;
}

const READ = `(() => {
  const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  const firstPaintMs = performance.getEntriesByName('first-contentful-paint')[0].startTime;
  const sum = (some) => some.reduce((bytes, { encodedBodySize }) => bytes + encodedBodySize, 0);
  return {
    firstPaintMs,
    editorMs: performance.now(),
    bytesAtFirstPaint: sum(entries.filter(({ responseEnd }) => responseEnd > 0 && responseEnd <= firstPaintMs)),
    bytes: sum(entries),
  };
})()`;

async function visit(browser: Browser, url: string, isSlow: boolean): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  try {
    const page = await context.newPage();
    if (isSlow) await (await context.newCDPSession(page)).send('Network.emulateNetworkConditions', SLOW);
    await page.goto(url);
    await page.locator('.cm-content').waitFor();
    await page.waitForFunction("performance.getEntriesByName('first-contentful-paint').length > 0");
    return await page.evaluate<Visit>(READ);
  } finally {
    await context.close();
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

async function measure(browser: Browser, url: string, times: number, isSlow: boolean): Promise<void> {
  const visits: Visit[] = [];
  for (let time = 0; time < times; time += 1) visits.push(await visit(browser, url, isSlow));
  const of = (read: (visit: Visit) => number, digits = 0) => median(visits.map(read)).toFixed(digits);
  const weight = `${of((it) => it.bytesAtFirstPaint / 1000, 1)} kB by then, ${of((it) => it.bytes / 1000, 1)} kB in all`;
  process.stdout.write(
    `${isSlow ? 'slow 4G' : 'straight'}: first paint ${of((it) => it.firstPaintMs)} ms, editor ${of((it) => it.editorMs)} ms; ${weight}\n`,
  );
}

const [url = 'http://127.0.0.1:8000', times = String(TIMES)] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
try {
  for (const isSlow of [false, true]) await measure(browser, url, Number(times), isSlow);
} finally {
  await browser.close();
}
