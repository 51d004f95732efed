import type { Browser } from 'playwright-core';
import { afterAll, beforeAll } from 'vitest';
import { BROWSER_SETUP_MS, type OpenPage, TestBrowser } from './browser.ts';
import { type Server, type ServerOptions, startServer } from './server.ts';

export interface ServedPage {
  readonly server: Server;
  readonly browser: TestBrowser;
  /** Opens the page, at a place below its address. */
  open(place?: string, options?: Parameters<Browser['newContext']>[0]): Promise<OpenPage>;
}

/**
 * A server with small sandboxes and a browser, for all tests of a file. Its parts are there once the tests run.
 * @param moreEnv what the server needs besides, asked for when what stands before it in the file is set up
 */
export function servePage(moreEnv: () => ServerOptions['env'] = () => ({})): ServedPage {
  let server: Server;
  let browser: TestBrowser;
  beforeAll(async () => {
    const env = { GLOVEBOX_POOL_SIZE: '1', GLOVEBOX_DISK_MB: '64', ...moreEnv() };
    [server, browser] = await Promise.all([startServer({ env }), TestBrowser.start()]);
  }, BROWSER_SETUP_MS);
  afterAll(async () => {
    await browser[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });
  return {
    get server() {
      return server;
    },
    get browser() {
      return browser;
    },
    open: (place = '', options = {}) => browser.open(`${server.url}/${place}`, options),
  };
}
