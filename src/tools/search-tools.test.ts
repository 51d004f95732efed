import { describe, expect, test } from 'vitest';
import type { ServerCatalog, UpstreamTool } from '../broker/types.ts';
import { createSearchTools } from './search-tools.ts';
import type { ToolContext } from './tool.ts';
import { signatureOf } from './tool-signature.ts';

const toolOf = (name: string, description: string, more: Partial<UpstreamTool> = {}): UpstreamTool => ({
  ...{ name, python: name.replaceAll('-', '_'), description, inputSchema: { type: 'object' }, writes: false, ...more },
});

const CATALOGS: readonly ServerCatalog[] = [
  {
    ...{ name: 'git-hub', description: '' },
    tools: [
      toolOf('list-issues', 'Lists the issues of a repository.\nWith pages.', {
        inputSchema: { type: 'object', properties: { repo: { type: 'string' } }, required: ['repo'] },
      }),
      toolOf('create-issue', 'Files one.'),
      toolOf('get-file', 'Reads a file, for example one that issues mention.'),
    ],
  },
  { name: 'wiki', description: '', tools: [], error: { code: 'upstream', message: 'It is down.', hint: 'Wait.' } },
  { name: 'many', description: '', tools: Array.from({ length: 60 }, (_, n) => toolOf(`tool${n}`, 'One of many.')) },
];

const search = createSearchTools({
  servers: (owner) =>
    CATALOGS.map(({ name }) => ({ name, description: '', isDefault: true })).filter(
      ({ name }) => owner === 'alice' || name !== 'wiki',
    ),
  catalog: async (_owner, names) => CATALOGS.filter(({ name }) => names.includes(name)),
});

const ask = async (input: Parameters<typeof search.handle>[0], owner = 'alice') =>
  await search.handle(input, { caller: { owner }, signal: new AbortController().signal } as ToolContext);
const namesOf = ({ tools }: Awaited<ReturnType<typeof ask>>) => tools.map(({ name }) => name);

describe('search_tools', () => {
  test('finds tools by words of their names and descriptions, the nearest first', async () => {
    const found = await ask({ query: 'list issues' });
    expect(namesOf(found)).toEqual(['tools.git_hub.list_issues', 'tools.git_hub.get_file']);
    expect(namesOf(await ask({ query: 'issue' }))).toEqual([
      ...['tools.git_hub.list_issues', 'tools.git_hub.create_issue', 'tools.git_hub.get_file'],
    ]);
    expect(namesOf(await ask({ query: 'weather' }))).toEqual([]);
  });

  test('tells of the best alone where words are looked for', async () => {
    const found = await ask({ query: 'many tool' });
    expect(found.tools).toHaveLength(8);
    expect(found.left_out).toBe(52);
    expect((await ask({ query: 'many', detail: 'names' })).tools).toHaveLength(40);
  });

  test('tells as much of each as is asked for', async () => {
    const query = 'repository';
    const { inputSchema } = CATALOGS[0]?.tools[0] ?? {};
    const [name, signature] = ['tools.git_hub.list_issues', 'list_issues(*, repo: str)'];
    expect((await ask({ query, detail: 'names' })).tools).toEqual([{ name }]);
    const line = 'Lists the issues of a repository.';
    expect((await ask({ query })).tools).toEqual([{ name, signature, description: line }]);
    const description = `${line}\nWith pages.`;
    expect((await ask({ query, detail: 'schemas' })).tools).toEqual([
      { name, signature, description, input_schema: inputSchema },
    ]);
  });

  test('says which servers could not tell, and how many tools are left out', async () => {
    const found = await ask({});
    expect(found).toMatchObject({ left_out: 23, failed: [{ server: 'wiki', message: 'It is down.' }] });
    expect(found.tools).toHaveLength(40);
    const text = search.summarize(found);
    expect(text).toContain('tools.git_hub.list_issues(*, repo: str)  # Lists the issues of a repository.');
    expect(text).toContain('[left out] 23 more');
    expect(text).toContain('[failed] wiki: It is down. Wait.');
    expect(search.summarize(await ask({ query: 'weather', server: 'many' }))).toContain('[none]');
  });

  test('knows the servers of its owner alone', async () => {
    expect((await ask({}, 'bob')).failed).toBeUndefined();
    await expect(ask({ server: 'wiki' }, 'bob')).rejects.toMatchObject({
      ...{ code: 'invalid_input', hint: 'Servers: git-hub, many.' },
    });
    await expect(ask({ server: 'mny' })).rejects.toMatchObject({ hint: expect.stringContaining('"many"') });
  });
});

describe('a signature', () => {
  test.each<[string, object, object | undefined]>([
    ['f()', { type: 'object' }, undefined],
    ['f()', {}, undefined],
    [
      'f(*, b: int, a: str = ...)',
      { properties: { a: { type: 'string' }, b: { type: 'integer' } }, required: ['b'] },
      undefined,
    ],
    ['f(*, a: list[str] = ...)', { properties: { a: { type: 'array', items: { type: 'string' } } } }, undefined],
    ['f(*, a: Literal["x", 1, True] = ...)', { properties: { a: { enum: ['x', 1, true] } } }, undefined],
    ['f(*, a: str | None = ...)', { properties: { a: { type: ['string', 'null'] } } }, undefined],
    [
      'f(*, a: int | dict = ...)',
      { properties: { a: { anyOf: [{ type: 'integer' }, { type: 'object' }] } } },
      undefined,
    ],
    ['f() -> list[float]', {}, { properties: { result: { type: 'array', items: { type: 'number' } } } }],
    ['f() -> dict', {}, { type: 'object', properties: { a: {}, b: {} } }],
    ['f(*, a: Any = ...)', { properties: { a: { $ref: '#/$defs/A' } } }, undefined],
    [
      'f(*, a: list[list[list[list[Any]]]] = ...)',
      {
        properties: {
          a: {
            items: {
              items: { items: { items: { items: {}, type: 'array' }, type: 'array' }, type: 'array' },
              type: 'array',
            },
            type: 'array',
          },
        },
      },
      undefined,
    ],
  ])('%s', (expected, input, output) => {
    expect(signatureOf('f', input as Record<string, unknown>, output as Record<string, unknown>)).toBe(expected);
  });
});
