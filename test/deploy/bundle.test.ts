import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { expect, inject, test } from 'vitest';
import { nodeEnvironment, run } from '../clients/environments.ts';
import { newStateDir } from '../support/server.ts';
import { TOOL_NAMES } from '../support/tool-names.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

test('the bundle for Claude Desktop is accepted by its own tool, and its command is a server that runs programs', {
  timeout: 300_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-bundle-test-'));
  try {
    const bundle = join(folder, 'glovebox.mcpb');
    const { code, stderr } = await run(process.execPath, ['scripts/bundle.ts', bundle], { cwd: ROOT });
    expect(code, stderr).toBe(0);
    const tool = join(await nodeEnvironment('packages-mcpb.json'), 'node_modules/.bin/mcpb');
    const unpacked = join(folder, 'unpacked');
    execFileSync(process.execPath, [tool, 'unpack', bundle, unpacked], { stdio: 'ignore' });
    const { server, tools } = JSON.parse(readFileSync(join(unpacked, 'manifest.json'), 'utf8'));
    expect(tools.map(({ name }: { name: string }) => name)).toEqual(TOOL_NAMES);
    expect(server.mcp_config.env).toEqual({ GLOVEBOX_IMAGE: `\${user_config.image}` });
    const args = server.mcp_config.args.map((arg: string) => arg.replace(`\${__dirname}`, unpacked));
    const env = { DOCKER_HOST: inject('engineAddress'), GLOVEBOX_STATE_DIR: newStateDir(), GLOVEBOX_SETUP: 'never' };
    const transport = new StdioClientTransport({
      ...{ command: process.execPath, args, env: { ...env, GLOVEBOX_IMAGE: 'slim' } },
    });
    const client = new Client({ name: 'bundle', version: '1' });
    await client.connect(transport);
    try {
      const answer = await client.callTool({ name: 'execute_python', arguments: { code: 'print(6 * 7)' } });
      expect(answer.content[0]).toMatchObject({ type: 'text', text: expect.stringMatching(/^42\n/) });
    } finally {
      await client.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
