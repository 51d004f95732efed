import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { newFolder, runCommand } from '../support/command.ts';
import { environment, newStateDir } from '../support/server.ts';
import { startToolServer, textResult } from '../support/tool-server.ts';

const PATIENCE = { timeout: 120_000 };
const VALUE = 'canary-0123456789abcdef';

test('a secret goes in by stdin, is listed by its name, is used, and never comes out', PATIENCE, async () => {
  const stateDir = newStateDir();
  const env = environment(stateDir);
  const said: string[] = [];
  const run = async (args: readonly string[], stdin?: string) => {
    const result = await runCommand(args, { env, ...(stdin === undefined ? {} : { stdin }) });
    said.push(result.stdout, result.stderr);
    return result;
  };
  expect(await run(['secret', 'set', 'TOKEN'], `${VALUE}\n`)).toMatchObject({ code: 0, stdout: '' });
  expect(await run(['secret', 'set', 'TOKEN', '--owner', 'alice'], `${VALUE}-of-alice`)).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('There is no key of alice.'),
  });
  expect(statSync(join(stateDir, 'secrets.json')).mode & 0o777).toBe(0o600);
  expect((await run(['secret', 'list'])).stdout).toBe('NAME   OWNER\nTOKEN  (shared)\nTOKEN  alice\n');
  expect(await run(['secret', 'set', 'OTHER'], 'short')).toMatchObject({ code: 1, stdout: '' });

  let sent: string | undefined;
  const server = await startToolServer({
    tools: () => [{ name: 'x', run: () => textResult('') }],
    intercept: ({ headers }) => {
      sent = headers.authorization;
      return false;
    },
  });
  onTestFinished(() => server[Symbol.asyncDispose]());
  const file = join(newFolder(), 'tools.json');
  const headers = { Authorization: `Bearer \${secret:TOKEN}` };
  writeFileSync(
    file,
    JSON.stringify({ mcpServers: { demo: { url: server.url, headers }, 'not-there': { url: 'http://127.0.0.1:9/' } } }),
  );
  const { stdout } = await run(['doctor', '--tools', file]);
  expect(stdout).toMatch(/^ok +tools +demo answers, with 1 tool$/m);
  expect(stdout).toMatch(/^warn +tools +not-there cannot be reached/m);
  expect(sent).toBe(`Bearer ${VALUE}`);

  expect(await run(['secret', 'remove', 'TOKEN'])).toMatchObject({ code: 0 });
  expect(await run(['secret', 'remove', 'TOKEN'])).toMatchObject({ code: 1 });
  expect(said.join('')).not.toContain(VALUE);
});
