import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { expect, test } from 'vitest';
import { FORMATS } from '../../src/client-config/formats/index.ts';
import { clientFile, nodeEnvironment, pythonEnvironment, run } from '../clients/environments.ts';
import { startServer } from '../support/server.ts';
import { TOOL_NAMES } from '../support/tool-names.ts';
import { firstUnseen, readRecipe } from './recipe.ts';
import { type Home, makeHome } from './shell.ts';

const SETUP_MS = 300_000;
/** Address that the pages name. */
const NAMED = 'http://127.0.0.1:8000';

interface Entry {
  readonly command?: string;
  readonly cmd?: string;
  readonly args: string[];
  readonly env?: Record<string, string>;
  readonly envs?: Record<string, string>;
}

/** What a client that cannot be installed here would find in its file. */
function readEntry(home: Home, id: keyof typeof FILES): Entry {
  const { file, parent, format } = FILES[id];
  const config = FORMATS[format].parse(readFileSync(join(home.folder, file), 'utf8')) as Record<
    string,
    Record<string, Entry>
  >;
  const entry = config[parent]?.['glovebox'];
  if (!entry) throw new Error(`${file} has no entry.`);
  return entry;
}

const FILES = {
  'claude-desktop': { file: '.config/Claude/claude_desktop_config.json', parent: 'mcpServers', format: 'json' },
  vscode: { file: '.config/Code/User/mcp.json', parent: 'servers', format: 'json' },
  cursor: { file: '.cursor/mcp.json', parent: 'mcpServers', format: 'json' },
  windsurf: { file: '.codeium/windsurf/mcp_config.json', parent: 'mcpServers', format: 'json' },
  goose: { file: '.config/goose/config.yaml', parent: 'extensions', format: 'yaml' },
} as const;

test.each(Object.keys(FILES) as (keyof typeof FILES)[])(
  'the block of docs/recipes/%s.md writes a file whose command is a server that runs programs',
  async (id) => {
    await using home = makeHome();
    const { block, seen = '' } = readRecipe(id);
    const written = await home.paste(block);
    expect(firstUnseen(seen, written), written).toBeUndefined();
    const { command, cmd, args, env = {}, envs = {} } = readEntry(home, id);
    // The transport passes on what clients do by themselves: HOME, PATH and a few more.
    const transport = new StdioClientTransport({ command: command ?? cmd ?? '', args, env: { ...env, ...envs } });
    const client = new Client({ name: id, version: '1' });
    await client.connect(transport);
    try {
      expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(TOOL_NAMES);
      const answer = await client.callTool({ name: 'execute_python', arguments: { code: 'print(6 * 7)' } });
      expect(answer.content[0]).toMatchObject({ type: 'text', text: expect.stringMatching(/^42\n/) });
    } finally {
      await client.close();
    }
  },
);

test('LibreChat accepts what the block of its page writes', { timeout: SETUP_MS }, async () => {
  await using home = makeHome();
  const { block, seen = '' } = readRecipe('librechat');
  const written = await home.paste(block);
  expect(firstUnseen(seen, written), written).toBeUndefined();
  const folder = await nodeEnvironment('packages-librechat.json');
  const program = join(folder, 'read-librechat.mjs');
  cpSync(clientFile('read-librechat.mjs'), program);
  const { stdout, stderr } = await run(process.execPath, [program, join(home.folder, 'librechat.yaml')]);
  expect(stdout, stderr).not.toBe('');
  expect(JSON.parse(stdout)).toEqual({
    glovebox: { type: 'streamable-http', url: `${NAMED}/mcp`, timeout: 150_000 },
  });
});

test('the client of Open WebUI lists the tools and runs a program by what its page gives it', {
  timeout: SETUP_MS,
}, async () => {
  await using server = await startServer();
  await using home = makeHome();
  const { block, seen = '' } = readRecipe('open-webui');
  const written = await home.paste(block.replaceAll(NAMED, server.url));
  expect(firstUnseen(seen.replaceAll(NAMED, server.url), written), written).toBeUndefined();
  const connections = written.slice(written.indexOf('\n[\n'));
  const python = await pythonEnvironment('requirements-open-webui.txt', 'open-webui==0.12.4');
  const own = { DATA_DIR: home.folder, WEBUI_SECRET_KEY: 'of this test', TOOL_SERVER_CONNECTIONS: connections };
  const { stdout, stderr } = await run(python, [clientFile('drive_open_webui.py')], {
    ...{ cwd: home.folder, env: { ...home.env, ...own } },
  });
  const [tools = '[]', answer = ''] = stdout.trim().split('\n').slice(-2);
  expect(JSON.parse(tools), stderr).toEqual(TOOL_NAMES);
  expect(answer).toContain('42');
});
