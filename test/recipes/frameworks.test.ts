import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { nodeEnvironment, pythonEnvironment, run } from '../clients/environments.ts';
import { type Server, startServer } from '../support/server.ts';
import { firstUnseen, readRecipe } from './recipe.ts';

/** Installs a gigabyte of frameworks, where that has not been done. */
const SETUP_MS = 300_000;
/** Address that the pages name. */
const NAMED = 'http://127.0.0.1:8000';

let server: Server;
let folder: string;
beforeAll(async () => {
  server = await startServer();
  folder = mkdtempSync(join(tmpdir(), 'glovebox-framework-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await server[Symbol.asyncDispose]();
});

async function runBlock(language: string, block: string): Promise<string> {
  if (language === 'python') {
    const python = await pythonEnvironment('requirements-mcp1.txt');
    const env = { ...process.env, MCP_USE_ANONYMIZED_TELEMETRY: 'false', OPENAI_AGENTS_DISABLE_TRACING: '1' };
    return textOf(await run(python, ['-'], { input: block, cwd: folder, env }));
  }
  const made = await nodeEnvironment('packages-ai-sdk-7.json');
  const program = join(made, 'recipe.mjs');
  writeFileSync(program, block);
  return textOf(await run(process.execPath, [program], { cwd: folder }));
}

function textOf({ code, stdout, stderr }: Awaited<ReturnType<typeof run>>): string {
  expect(code, stderr).toBe(0);
  return stdout;
}

test.each(['langchain', 'openai-agents', 'pydantic-ai', 'smolagents', 'llama-index', 'mcp-use', 'ai-sdk'])(
  'the block of docs/recipes/%s.md runs a program in a sandbox, and shows what its page says',
  { timeout: SETUP_MS },
  async (name) => {
    const { language, block, seen = '' } = readRecipe(name);
    expect(block).toContain(`${NAMED}/mcp`);
    const written = await runBlock(language, block.replaceAll(NAMED, server.url));
    expect(firstUnseen(seen, written), written).toBeUndefined();
  },
);
