import { describe, expect, it } from 'vitest';
import { GloveboxError } from '../../errors.ts';
import { parseToolsFile, readToolsFile } from './tools-file.ts';

const source = { path: '/etc/tools.json', mayStart: true };

function parse(servers: unknown, mayStart = true) {
  return parseToolsFile(JSON.stringify({ mcpServers: servers }), { ...source, mayStart });
}

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof GloveboxError) return `${error.message} ${error.hint}`;
    throw error;
  }
  throw new Error('it was not refused');
}

it('reads comments, trailing commas and the fields of other programs', () => {
  const text = `\uFEFF{
    // People have such files.
    "mcpServers": {
      "files": { "type": "stdio", "command": "npx", "args": ["x"], "env": { "A": "b" }, },
      "github": { "url": "https://mcp.example/", "headers": { "Authorization": "Bearer \${secret:GITHUB}" } },
      "off": { "command": "x", "disabled": true },
    },
  }`;
  const [files, github, ...others] = parseToolsFile(text, source);
  expect(files).toMatchObject({ access: { kind: 'stdio', command: 'npx', args: ['x'], env: { A: 'b' } } });
  expect(github).toEqual({
    name: 'github',
    description: '',
    isDefault: false,
    trusted: false,
    access: {
      kind: 'auto',
      url: 'https://mcp.example/',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: that is the form of a placeholder.
      headers: { Authorization: 'Bearer ${secret:GITHUB}' },
    },
    credentials: 'shared',
    owners: [],
    allow: ['*'],
    deny: [],
    approve: 'writes',
    timeoutMs: 60_000,
    maxCalls: 200,
    maxConcurrent: 8,
    maxResultBytes: 8 * 1024 * 1024,
  });
  expect(others).toEqual([]);
});

const url = 'https://mcp.example/';

describe('refuses with what to do', () => {
  it.each([
    ['{"mcpServers": {', /CloseBraceExpected at line 1, column 17/],
    ['[]', /holds no object/],
    ['{"servers": {}}', /unknown field "servers".*Name the object of servers "mcpServers"/],
    ['{}', /no object "mcpServers"/],
  ])('%s', (text, expected) => {
    expect(refusal(() => parseToolsFile(text, source))).toMatch(expected);
  });

  it.each<[Record<string, unknown>, RegExp]>([
    [{ x: { uri: url } }, /wrong about "x": it has the unknown field "uri".*Did you mean "url"\?/],
    [{ x: { url, timeout: 3 } }, /unknown field "timeout".*Did you mean "timeout_s"\?/],
    [{ x: { url, approve: 'allways' } }, /"approve" is neither.*Write "never"/],
    [{ x: { url, credentials: 'owners' } }, /"credentials" must be one of "shared", "owner".*Did you mean "owner"\?/],
    [{ x: { url, timeout_s: 0 } }, /"timeout_s" is not valid/],
    [{ x: {} }, /neither a url nor a command/],
    [{ x: { url, command: 'x' } }, /both a url and a command/],
    [{ x: { url, type: 'stdio' } }, /its transport is stdio/],
    [{ x: { command: 'x', headers: { a: 'b' } } }, /headers belong to a url/],
    [{ x: { url: 'ftp://x/' } }, /not an http/],
    [{ x: { url: 'https://u:hunter22@x/' } }, /user name or password/],
    [{ x: { url, headers: { 'a b': 'c' } } }, /"a b" cannot be a header/],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is the form of a placeholder.
    [{ x: { url, headers: { a: 'Bearer ${env:TOKEN}' } } }, /only "\$\{secret:NAME\}" is filled in.*secret set NAME/],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is the form of a placeholder.
    [{ x: { url, headers: { a: '${secret:my-token}' } } }, /"my-token" is no name for a secret/],
    [{ x: { url, credentials: 'owner' } }, /uses no secret/],
    [{ x: { url, pin: { a: 'abc' } } }, /"pin.a" is not valid/],
    [{ client: { url } }, /the name is taken/],
    [{ '1x': { url } }, /no name for a server/],
    [{ 'a-b': { url }, a_b: { url } }, /"a-b" and "a_b", which are the same name in Python/],
  ])('%j', (servers, expected) => {
    const said = refusal(() => parse(servers));
    expect(said).toMatch(expected);
    expect(said).not.toContain('hunter22');
  });

  it('a command, unless commands are allowed', () => {
    expect(refusal(() => parse({ x: { command: 'x' } }, false))).toMatch(/beside Glovebox.*GLOVEBOX_TOOLS_STDIO=1/);
  });

  it('a file that is not there', () => {
    expect(refusal(() => readToolsFile('/no/such/file', false))).toMatch(/ENOENT.*GLOVEBOX_TOOLS/);
  });
});
