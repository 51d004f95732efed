import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nodeEnvironment, run } from '../clients/environments.ts';
import { TOOL_NAMES } from '../support/tool-names.ts';
import { CodexAppServer } from './codex-app-server.ts';
import { playAnthropic, playGemini } from './model.ts';
import { firstUnseen, readRecipe } from './recipe.ts';
import { type Home, makeHome } from './shell.ts';

/** Downloads some 150 MB each, where that has not been done. */
const SETUP_MS = 300_000;
const PROGRAM = { code: 'print(6 * 7)' };

/** What a page has to paste is pasted, and what it says that one sees is there. */
async function follow(home: Home, name: string): Promise<void> {
  const { block, seen = '' } = readRecipe(name);
  const written = await home.paste(block);
  expect(firstUnseen(seen, written), written).toBeUndefined();
}

describe('Claude Code', () => {
  let home: Home;
  let claude: readonly string[];
  beforeAll(async () => {
    const folder = await nodeEnvironment('packages-claude-code.json');
    claude = [process.execPath, join(folder, 'node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs')];
    home = makeHome({ claude });
  }, SETUP_MS);
  afterAll(async () => await home[Symbol.asyncDispose]());

  test('connects as its page says', async () => await follow(home, 'claude-code'));

  test('runs a program that a model asks for', async () => {
    await using model = await playAnthropic({ name: 'mcp__glovebox__execute_python', input: PROGRAM });
    const [command = '', ...args] = claude;
    const env = {
      ...home.env,
      ...{ ANTHROPIC_BASE_URL: model.url, ANTHROPIC_API_KEY: 'none', CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1' },
    };
    const asked = ['-p', 'Run it.', '--allowedTools', 'mcp__glovebox__execute_python'];
    const { stdout, stderr } = await run(command, [...args, ...asked], { cwd: home.folder, env, limitMs: 60_000 });
    expect(stdout, stderr).toMatch(/It said: .*42/);
  });
});

describe('Codex', () => {
  let home: Home;
  let codex: readonly string[];
  beforeAll(async () => {
    const folder = await nodeEnvironment('packages-codex.json');
    codex = [process.execPath, join(folder, 'node_modules/@openai/codex/bin/codex.js')];
    home = makeHome({ codex });
  }, SETUP_MS);
  afterAll(async () => await home[Symbol.asyncDispose]());

  test('has it in its list as its page says', async () => await follow(home, 'codex'));

  test('lists the tools, and runs a program', async () => {
    await using server = await CodexAppServer.start(codex, home.env, home.folder);
    const { data } = await server.ask<{ data: { name: string; tools: object }[] }>('mcpServerStatus/list', {});
    const tools = data.find(({ name }) => name === 'glovebox')?.tools ?? {};
    expect(Object.keys(tools).toSorted()).toEqual([...TOOL_NAMES].toSorted());
    const { thread } = await server.ask<{ thread: { id: string } }>('thread/start', {});
    const call = { threadId: thread.id, server: 'glovebox', tool: 'execute_python', arguments: PROGRAM };
    const { content } = await server.ask<{ content: { text: string }[] }>('mcpServer/tool/call', call);
    expect(content[0]?.text).toMatch(/^42\n\[ok\]/);
  });
});

describe('Gemini CLI', () => {
  let home: Home;
  let gemini: readonly string[];
  beforeAll(async () => {
    const folder = await nodeEnvironment('packages-gemini-cli.json');
    gemini = [process.execPath, join(folder, 'node_modules/@google/gemini-cli/bundle/gemini.js')];
    home = makeHome({ gemini });
    home.env['GEMINI_CLI_TRUST_WORKSPACE'] = 'true';
    mkdirSync(join(home.folder, '.gemini'));
    const settings = { security: { auth: { selectedType: 'gemini-api-key' } } };
    writeFileSync(join(home.folder, '.gemini/settings.json'), JSON.stringify(settings));
  }, SETUP_MS);
  afterAll(async () => await home[Symbol.asyncDispose]());

  test('connects as its page says', async () => await follow(home, 'gemini-cli'));

  test('runs a program that a model asks for', async () => {
    await using model = await playGemini({ name: 'mcp_glovebox_execute_python', input: PROGRAM });
    const [command = '', ...args] = gemini;
    const env = { ...home.env, GOOGLE_GEMINI_BASE_URL: model.url, GEMINI_API_KEY: 'none' };
    const asked = ['-p', 'Run it.', '--model', 'gemini-2.5-flash', '--approval-mode', 'yolo'];
    const { stdout, stderr } = await run(command, [...args, ...asked], { cwd: home.folder, env, limitMs: 60_000 });
    expect(stdout, stderr).toMatch(/It said: .*42/);
    for (const name of TOOL_NAMES) expect(model.offered).toContain(`mcp_glovebox_${name}`);
  });
});
