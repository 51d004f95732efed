import { describe, expect, it } from 'vitest';
import { GloveboxError } from '../errors.ts';
import { FORMATS } from './formats/index.ts';
import { type Merged, mergeEntry } from './merge.ts';

const ENTRY = { command: '/usr/bin/node', args: ['/opt/glovebox/dist/cli.js', 'stdio'] };
const PATHS = { json: ['mcpServers', 'glovebox'], toml: ['mcp_servers', 'glovebox'], yaml: ['extensions', 'glovebox'] };

type FormatName = keyof typeof PATHS;

function merge(name: FormatName, text: string, { force = false, entry = ENTRY as object } = {}): Merged {
  const target = { file: `/home/alice/config.${name}`, format: FORMATS[name], path: PATHS[name] };
  return mergeEntry(text, target, { ...entry }, force);
}

/** The message and hint of the refusal. */
function refusal(name: FormatName, text: string): { message: string; hint: string } {
  try {
    merge(name, text);
  } catch (error) {
    if (error instanceof GloveboxError) return { message: error.message, hint: error.hint };
    throw error;
  }
  throw new Error('It was accepted.');
}

describe('an entry for a client', () => {
  it.each([
    ['json', '{\n  "mcpServers": {\n    "glovebox": {\n      "command"'],
    ['toml', '[mcp_servers.glovebox]\ncommand = '],
    ['yaml', 'extensions:\n  glovebox:\n    command: '],
  ] as const)('is the whole of a new or empty file (%s)', (name, beginning) => {
    for (const text of ['', '\n']) {
      const merged = merge(name, text);
      expect(merged.outcome).toBe('added');
      expect(merged.text.trimStart().startsWith(beginning), merged.text).toBe(true);
      expect(merged.text.endsWith('\n')).toBe(true);
    }
  });

  it.each([
    [
      'json',
      '// mine\r\n{\r\n\t"theme": "dark", // at night\r\n\t"mcpServers": {\r\n\t\t/* by hand */\r\n\t\t"other": { "command": "x", }, // last\r\n\t},\r\n}\r\n',
    ],
    [
      'toml',
      '# mine\nmodel = "x" # the small one\n\n[mcp_servers.other] # by hand\ncommand = "x"\nargs = [\n  "[mcp_servers.glovebox]", # no header\n]\n\n# last',
    ],
    [
      'yaml',
      '# mine\nGOOSE_MODE: "auto"   # both blanks stay\n\n\nextensions:\n    # by hand\n    other:\n        cmd: x # last\n    text: |\n        two\n        lines\n\n# after\nzone: \'a: b\'\n',
    ],
  ] as const)('is added, and each line that was there stays, comments too (%s)', (name, text) => {
    const merged = merge(name, text);
    expect(merged.outcome).toBe('added');
    for (const line of text.split('\n').filter((one) => one.trim() !== ''))
      expect(merged.text.split('\n').map((one) => one.replace(/,$/, ''))).toContain(line.replace(/,$/, ''));
    expect(merge(name, merged.text)).toEqual({ outcome: 'same', text: merged.text });
    if (text.includes('\r\n')) expect(merged.text.replaceAll('\r\n', '')).not.toContain('\n');
  });

  it.each([
    ['json', '{ "mcpServers": { "glovebox": { "command": "old" } }, "a": 1 }'],
    [
      'toml',
      '[mcp_servers.glovebox]\ncommand = "old"\n\n[mcp_servers."glovebox".env]\nA = "1"\n\n# next\n[a]\nb = 1\n',
    ],
    ['yaml', 'extensions:\n  glovebox:\n    cmd: old\na: 1 # next\n'],
  ] as const)('of the same name is kept, unless it is to be replaced (%s)', (name, text) => {
    expect(merge(name, text)).toEqual({ outcome: 'kept', text });
    const merged = merge(name, text, { force: true });
    expect(merged.outcome).toBe('replaced');
    expect(merged.text).not.toContain('old');
    expect(merged.text).toMatch(/# next|"a": 1/);
    expect(merge(name, merged.text).outcome).toBe('same');
  });

  it('replaces tables of TOML that stand apart, and leaves those between them', () => {
    const text =
      '[mcp_servers.glovebox]\nurl = "x"\n[mcp_servers.glovebox2]\nurl = "y"\n[mcp_servers.glovebox.env]\nA = "1"\n';
    expect(merge('toml', text, { force: true, entry: { url: 'z' } }).text).toBe(
      '[mcp_servers.glovebox2]\nurl = "y"\n\n[mcp_servers.glovebox]\nurl = "z"\n',
    );
  });

  it('keeps the mark at the beginning of a file of Windows', () => {
    const { text } = merge('json', '\uFEFF{}');
    expect(text.startsWith('\uFEFF{\n')).toBe(true);
  });

  it.each(['extensions:\n', 'extensions: {}\n', 'extensions: { other: { cmd: x } } # mine\n', '--- # mine\n'])(
    'is added to a map of YAML that is not written in lines: %j',
    (text) => {
      const merged = merge('yaml', text);
      expect(merged.outcome).toBe('added');
      for (const word of ['mine', 'other']) expect(merged.text.includes(word)).toBe(text.includes(word));
    },
  );
});

describe('a file that cannot take an entry is refused', () => {
  it.each([
    ['json', '{\n  "a": 1\n  "b": 2\n}', '/home/alice/config.json:3:3 is broken: Comma expected.'],
    ['json', '{ "a": ', '/home/alice/config.json:1:8 is broken: Value expected.'],
    ['toml', 'a = 1\nb = \n', '/home/alice/config.toml:2:5 is broken: '],
    ['yaml', 'a: 1\nb: [1\n', '/home/alice/config.yaml:3:1 is broken: '],
    ['yaml', 'a: 1\n---\nb: 1\n', '/home/alice/config.yaml:2:1 is broken: '],
  ] as const)('with its line and column if it is broken (%s, %j)', (name, text, message) => {
    const told = refusal(name, text);
    expect(told.message).toContain(message);
    expect(told.hint).toMatch(/^It was left as it is\./);
  });

  it.each([
    ['json', '[]', 'The file of /home/alice/config.json holds no names with values.'],
    ['json', 'null', 'The file of /home/alice/config.json holds no names with values.'],
    ['json', '{ "mcpServers": [] }', '"mcpServers" of /home/alice/config.json holds no names with values.'],
    ['toml', 'mcp_servers = 3', '"mcp_servers" of /home/alice/config.toml holds no names with values.'],
    ['yaml', 'extensions: [a]', '"extensions" of /home/alice/config.yaml holds no names with values.'],
  ] as const)('if something else stands where servers stand (%s, %j)', (name, text, message) => {
    expect(refusal(name, text).message).toBe(message);
  });

  it.each([
    ['json', '{ "mcpServers": { "x": 1 }, "mcpServers": { "y": 2 } }'],
    ['toml', 'mcp_servers = { other = { command = "x" } }'],
    ['toml', 'mcp_servers.other.command = "x"\n[mcp_servers]\n'],
  ] as const)('with the text to put in by hand if it is written in an unusual way (%s, %j)', (name, text) => {
    const { hint } = refusal(name, text);
    expect(hint).toMatch(/left as it is/);
  });
});
