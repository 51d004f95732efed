import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectAccessible } from '../support/browser.ts';
import { run } from '../support/page-cells.ts';
import { servePage } from '../support/served-page.ts';
import { newStateDir } from '../support/server.ts';
import { type RunningToolServer, startToolServer, textResult } from '../support/tool-server.ts';

let upstream: RunningToolServer;
let finish: () => void;

beforeAll(async () => {
  upstream = await startToolServer({
    tools: () => [
      {
        name: 'slow',
        run: async () => {
          await new Promise<void>((resolve) => {
            finish = resolve;
          });
          return textResult('done');
        },
      },
      { name: 'fails', run: () => ({ isError: true, content: [{ type: 'text', text: 'no' }] }) },
    ],
  });
});
afterAll(async () => await upstream[Symbol.asyncDispose]());

const served = servePage(() => {
  const file = join(newStateDir(), 'tools.json');
  const servers = { lab: { url: upstream.url, approve: 'never', default: true } };
  writeFileSync(file, JSON.stringify({ mcpServers: servers }));
  return { GLOVEBOX_TOOLS: file };
});

test('the page says which tool a program calls, and lists the calls afterwards', async () => {
  await using opened = await served.open();
  const { page, complaints } = opened;
  await run(opened, 'import tools\nprint(tools.lab.slow())\ntry: tools.lab.fails()\nexcept tools.ToolError: pass');
  await page.getByText('Calling lab.slow').waitFor();
  finish();
  await page.getByText('2 calls of tools, 1 failed').click();
  await page.getByRole('listitem').getByText('lab.fails').waitFor();
  await expectAccessible(page);
  expect(complaints).toEqual([]);
});
