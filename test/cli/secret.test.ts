import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { filesWith } from '../support/canary-search.ts';
import { newFolder, runCommand } from '../support/command.ts';
import { environment, newStateDir, startServer } from '../support/server.ts';
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
  for (const name of ['secrets.json', 'secrets.key']) expect(statSync(join(stateDir, name)).mode & 0o777).toBe(0o600);
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

  const key = readFileSync(join(stateDir, 'secrets.key'), 'utf8');
  expect(await run(['secret', 'rekey'])).toMatchObject({
    ...{ code: 0, stdout: '', stderr: expect.stringContaining('Encrypted 2 secrets with a new key.') },
  });
  expect(readFileSync(join(stateDir, 'secrets.key'), 'utf8')).not.toBe(key);
  await run(['doctor', '--tools', file]);
  expect(sent).toBe(`Bearer ${VALUE}`);

  expect(await run(['secret', 'remove', 'TOKEN'])).toMatchObject({ code: 0 });
  expect(await run(['secret', 'remove', 'TOKEN'])).toMatchObject({ code: 1 });
  expect(said.join('')).not.toContain(VALUE);
  expect(filesWith(stateDir, VALUE)).toEqual([]);
});

test(
  'a secret is bound to hosts, which are told of, kept when it is rotated, and never its value',
  PATIENCE,
  async () => {
    const stateDir = newStateDir();
    const env = environment(stateDir, { GLOVEBOX_SECRETS_KEY_FILE: join(newFolder(), 'of-the-operator.key') });
    const run = async (args: readonly string[], stdin = `${VALUE}\n`) =>
      await runCommand(['secret', ...args], { env, stdin });
    const bound = await run(['set', 'TOKEN', '--for', 'API.example.com', '--for', 'http://plain.example:8080']);
    expect(bound).toMatchObject({ code: 0, stdout: '' });
    expect(bound.stderr).toContain(
      'Requests of code to http://api.example.com get it (Authorization), and go out by TLS.\n' +
        'Requests of code to http://plain.example:8080 get it (Authorization), and go out without TLS, for all on the way to read.',
    );
    const own = ['set', 'KEY', '--owner', 'alice', '--for', 'api.example.com', '--query', 'api_key'];
    expect((await run(own, 'only-8-c')).stderr).toContain('It has fewer than 16 characters');
    expect(await run(['set', 'TOKEN'], `${VALUE}-rotated`)).toMatchObject({ code: 0 });
    expect((await run(['ls'])).stdout).toBe(
      'NAME   OWNER     SENT TO\n' +
        'TOKEN  (shared)  api.example.com (Authorization), http://plain.example:8080 (Authorization)\n' +
        'KEY    alice     api.example.com (?api_key)\n',
    );
    for (const [wrong, said] of [
      [['--for', '*.example.com'], 'a secret belongs to hosts that are named'],
      [['--header', 'X: {}'], 'Name the host'],
      [['--for', 'a.example', '--header', 'Host: {}'], 'Host cannot have a secret'],
    ] as const) {
      const refused = await run(['set', 'OTHER', ...wrong]);
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(said) });
      expect(refused.stderr).not.toContain(VALUE);
    }
    expect(await run(['rm', 'KEY', '--owner', 'alice'])).toMatchObject({ code: 0 });
    expect(filesWith(stateDir, 'canary')).toEqual([]);
    expect(readdirSync(stateDir)).not.toContain('secrets.key');
  },
);

test('the secrets of an earlier release are encrypted when a server starts, which says so', PATIENCE, async () => {
  const stateDir = newStateDir();
  writeFileSync(join(stateDir, 'secrets.json'), JSON.stringify({ shared: { TOKEN: VALUE }, owners: { alice: {} } }));
  await using server = await startServer({ stateDir });
  expect(server.stderr()).toContain('secrets that an earlier release kept as they are, are encrypted now');
  expect(filesWith(stateDir, VALUE)).toEqual([]);
  const listed = await runCommand(['secret', 'list'], { env: environment(stateDir) });
  expect(listed.stdout).toBe('NAME   OWNER\nTOKEN  (shared)\n');
});
