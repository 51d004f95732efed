import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CLIENTS } from '../client-config/clients.ts';
import { readClientPlaces } from '../config/client-places.ts';
import { loadConfig } from '../config/load.ts';
import { type GloveboxError, toGloveboxError } from '../errors.ts';
import { type McpConfigOptions, runMcpConfig } from './mcp-config.ts';
import { commandLine, readAddress } from './mcp-connection.ts';

/** An address at which nothing listens. */
const NOBODY = 'http://127.0.0.1:1';

let home: string;
let printed: string;
let said: string[];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'glovebox-home-'));
  for (const name of ['XDG_CONFIG_HOME', 'CODEX_HOME', 'CLAUDE_CONFIG_DIR', 'DOCKER_HOST']) vi.stubEnv(name, '');
  vi.stubEnv('HOME', home);
  printed = '';
  said = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    printed += String(chunk);
    return true;
  });
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(home, { recursive: true });
});

async function run(
  client: string | undefined,
  options: Partial<McpConfigOptions> = {},
  given: Readonly<Record<string, string>> = {},
): Promise<void> {
  const say = (line: string) => void said.push(line);
  await runMcpConfig(client, { name: 'glovebox', ...options }, { config: loadConfig({}, given), given, say });
}

async function refusal(...args: Parameters<typeof run>): Promise<GloveboxError> {
  return await run(...args).then(
    () => Promise.reject(new Error('It was accepted.')),
    (error: unknown) => toGloveboxError(error),
  );
}

describe('glovebox mcp-config', () => {
  it('lists the clients, each with its file', async () => {
    await run(undefined);
    expect(printed.split('\n').filter(Boolean)).toHaveLength(CLIENTS.length);
    expect(printed).toContain(`cursor          ${join(home, '.cursor/mcp.json')}\n`);
    expect(printed).toContain('open-webui      (no file)\n');
  });

  it('prints what starts this Glovebox, with the settings that are given and absolute paths', async () => {
    await run('cursor', {}, { image: 'slim', state_dir: 'kept' });
    const { args } = JSON.parse(printed).mcpServers.glovebox;
    expect(args.slice(-5)).toEqual(['stdio', '--image', 'slim', '--state-dir', join(process.cwd(), 'kept')]);
    expect(said.join('\n')).toContain(`This belongs into ${join(home, '.cursor/mcp.json')}; --write puts it there.`);
  });

  it('passes on which engine to use, because clients pass no variables on', async () => {
    const given = {};
    const config = loadConfig({ DOCKER_HOST: 'unix:///run/user/1/docker.sock' }, given);
    await runMcpConfig('claude-desktop', { name: 'glovebox' }, { config, given, say: () => {} });
    expect(JSON.parse(printed).mcpServers.glovebox.env).toEqual({ DOCKER_HOST: 'unix:///run/user/1/docker.sock' });
  });

  it.each(CLIENTS.map(({ id }) => id))('never has a key in what it prints, but says where it goes (%s)', async (id) => {
    vi.stubEnv('GLOVEBOX_KEY', 'gbk_secret');
    await run(id, { http: NOBODY }, { auth: 'keys' });
    expect(printed).toContain(`${NOBODY}/mcp`);
    expect(printed + said.join('\n')).not.toContain('gbk_secret');
    expect(printed).toMatch(/GLOVEBOX_KEY|YOUR_KEY/);
    expect(said.join('\n')).toMatch(/Make one with: glovebox key new NAME/);
  });

  it('asks the server whether it wants a key', async () => {
    const server = createServer((_request, response) => response.writeHead(401).end()).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    try {
      await run('codex', { http: `127.0.0.1:${(server.address() as AddressInfo).port}` });
    } finally {
      server.close();
    }
    expect(printed).toContain('bearer_token_env_var = "GLOVEBOX_KEY"');
  });

  it('writes, says what became of the file as it was, and keeps an entry that differs', async () => {
    const file = join(home, '.gemini/settings.json');
    mkdirSync(join(home, '.gemini'));
    writeFileSync(file, '{\n  // mine\n  "ui": {}\n}\n');
    await run('gemini-cli', { write: true });
    expect(said.slice(0, 2)).toEqual([
      `Added "glovebox" in ${file}, for Gemini CLI.`,
      `The file as it was before: ${file}.before-glovebox`,
    ]);
    expect(readFileSync(file, 'utf8')).toContain('// mine');
    await run('gemini-cli', { write: true });
    expect(said).toContain(`"glovebox" is in ${file} already, just so. Nothing was changed.`);
    const kept = await refusal('gemini-cli', { write: true, http: NOBODY });
    expect(kept.message).toBe(`${file} has another "glovebox" already, which was kept.`);
    expect(kept.hint).toMatch(/^Take --force to replace it by this, or --name for another name:\n\n\{/);
    await run('gemini-cli', { write: true, http: NOBODY, force: true });
    await run('gemini-cli', { write: true, name: 'second' });
    expect(readFileSync(file, 'utf8')).toMatch(/httpUrl[\s\S]*"second"/);
  });

  it.each([
    [['curser'], '"curser" is no client that is known here.', 'Did you mean cursor?'],
    [[undefined, { write: true }], 'CLIENT is missing.', 'glovebox mcp-config lists the clients.'],
    [['open-webui', { write: true, http: NOBODY }], 'Open WebUI has no such file.', 'import this under'],
    [['windsurf', { write: true, project: true }], 'Windsurf has no such file.', 'Leave --project out'],
    [['cursor', { name: 'my box' }], '--name is "my box": clients would not take it.', 'Use a letter'],
    [['cursor', { http: 'http://' }], '--http is "http://": this is no address of a server.', 'Write it as'],
    [['cursor', { http: 'http://k@h' }], '--http is "http://k@h": this is no address of a server.', 'without a key'],
  ] as [Parameters<typeof run>, string, string][])('refuses %j', async (args, message, hint) => {
    const error = await refusal(...args);
    expect(error).toMatchObject({ code: 'invalid_input', message });
    expect(error.hint).toContain(hint);
  });
});

describe('where clients keep their files', () => {
  it.each([
    ['darwin', 'vscode', '/home/a/Library/Application Support/Code/User/mcp.json'],
    ['darwin', 'goose', '/home/a/.config/goose/config.yaml'],
    ['linux', 'claude-desktop', '/xdg/Claude/claude_desktop_config.json'],
    ['linux', 'goose', '/xdg/goose/config.yaml'],
    ['linux', 'codex', '/codex/config.toml'],
    ['linux', 'claude-code', '/claude/.claude.json'],
    ['win32', 'goose', '/roaming/Block/goose/config/config.yaml'],
  ] as const)('on %s, %s', (platform, id, path) => {
    const env = { HOME: '/home/a', APPDATA: '/roaming', CODEX_HOME: '/codex', CLAUDE_CONFIG_DIR: '/claude' };
    const places = readClientPlaces(platform === 'linux' ? { ...env, XDG_CONFIG_HOME: '/xdg' } : env, platform);
    expect(CLIENTS.find((client) => client.id === id)?.userFile?.(places)).toBe(path);
  });
});

describe('the command that a client starts', () => {
  it('is npx where npx fetched this program, for its cache may be gone the next time', () => {
    expect(commandLine('/home/a/.npm/_npx/1f/node_modules/glovebox/dist/cli.js')).toEqual({
      command: 'npx',
      args: ['-y', 'glovebox'],
    });
    expect(commandLine('/opt/glovebox/dist/cli.js').args).toEqual(['/opt/glovebox/dist/cli.js']);
  });
});

describe('the address of a server', () => {
  it.each([
    ['localhost:8000', 'http://localhost:8000/mcp'],
    ['https://box.example/', 'https://box.example/mcp'],
    ['http://[::1]:8000/mcp?session=mine', 'http://[::1]:8000/mcp?session=mine'],
    ['box.example/sse', 'http://box.example/sse'],
  ])('may be written as %s', (text, url) => {
    expect(readAddress(text)).toBe(url);
  });
});
