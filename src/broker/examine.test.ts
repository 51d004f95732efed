import { afterEach, expect, it } from 'vitest';
import { openBroker } from '../../test/support/broker.ts';
import { startToolServer, textResult } from '../../test/support/tool-server.ts';
import { createLog } from '../log.ts';
import { Secrets } from '../secrets/secrets.ts';
import type { BrokerOptions } from './broker.ts';
import { examineTools } from './examine.ts';

const closing: AsyncDisposable[] = [];

afterEach(async () => {
  for (const one of closing.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

function optionsFor(stateDir: string): BrokerOptions {
  const options = { file: `${stateDir}/tools.json`, mayStart: false, stateDir, hosts: { proxy: {} }, version: '0' };
  return { ...options, secrets: new Secrets({ stateDir }), log: createLog('error') };
}

it('tells of each server how it is, by its name only', async () => {
  let description = 'Reads.';
  const tools = () => ['a', 'b'].map((name) => ({ name, description, run: () => textResult('') }));
  const server = await startToolServer({ tools });
  closing.push(server);
  const gone = await startToolServer({ tools });
  await gone[Symbol.asyncDispose]();
  const { url } = server;
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is the form of a placeholder.
  const headers = { authorization: '${secret:TOKEN}' };
  const opened = openBroker(
    {
      open: { url, owners: ['*'] },
      closed: { url, deny: ['b'] },
      own: { url, headers, credentials: 'owner', owners: ['*'] },
      unset: { url, headers: { authorization: headers.authorization.replace('TOKEN', 'OTHER') }, owners: ['*'] },
      down: { url: `${gone.url}?key=canary-12345`, owners: ['*'] },
    },
    { secrets: [['TOKEN', 'canary-67890']] },
  );
  closing.push(opened);
  const { stateDir } = opened;
  const examine = () => examineTools(optionsFor(stateDir));
  const found = await examine();
  expect(found).toEqual([
    ['ok', 'tools', 'open answers, with 2 tools'],
    ['ok', 'tools', 'closed answers, with 1 tool'],
    ['warn', 'tools', 'nobody may use closed', 'Name keys in "owners", or write "owners": ["*"] for all.'],
    ['ok', 'tools', 'own has the credentials of each owner, and is not asked here'],
    [
      'warn',
      'tools',
      'unset needs the secret OTHER, which is not set.',
      'The operator sets it with: glovebox secret set OTHER',
    ],
    ['warn', 'tools', 'down cannot be reached (ECONNREFUSED).', expect.any(String)],
  ]);
  expect(JSON.stringify(found)).not.toMatch(/canary|127\.0\.0\.1/);

  description = 'Writes.';
  expect(await examine()).toContainEqual([
    'warn',
    'tools',
    'open has changed tools since they were trusted: a, b',
    expect.stringContaining('tool-pins/open.json'),
  ]);
});

it('does not wait for ever for a server that says nothing', async () => {
  const silent = await startToolServer({ tools: () => [], intercept: () => true });
  const opened = openBroker({ silent: { url: silent.url, owners: ['*'] } });
  closing.push(silent, opened);
  expect(await examineTools(optionsFor(opened.stateDir), 100)).toEqual([
    ['warn', 'tools', 'silent does not answer.', 'Look whether it runs, and at its "url".'],
  ]);
});

it('tells what a command that fails has written, in place of advice about a "url" that it has not', async () => {
  const failing = { command: process.execPath, args: ['-e', 'console.error("no such package"); process.exit(1)'] };
  const silent = { command: process.execPath, args: ['-e', 'process.exit(1)'] };
  const opened = openBroker(
    { failing: { ...failing, owners: ['*'] }, silent: { ...silent, owners: ['*'] } },
    { mayStart: true },
  );
  closing.push(opened);
  const found = await examineTools({ ...optionsFor(opened.stateDir), mayStart: true });
  expect(found).toEqual([
    ['warn', 'tools', 'failing closed the connection.', 'Its command wrote last: no such package'],
    ['warn', 'tools', 'silent closed the connection.', expect.stringMatching(/^Run its command by hand.*"env"/)],
  ]);
});
