import { expect, test } from 'vitest';
import type { ApiDocument } from './api-document.ts';
import { makeApiPages } from './api-pages.ts';

const API: ApiDocument = {
  info: { description: 'Runs code.' },
  tags: [{ name: 'Files', description: 'Files of a session.' }],
  paths: {
    '/files/{id}': {
      put: {
        tags: ['Files'],
        summary: 'Write a file.',
        parameters: [
          {
            name: 'id',
            in: 'path',
            required: true,
            description: 'One|two',
            schema: { type: 'string', pattern: 'a|b' },
          },
        ],
        requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Entry' } } } },
        responses: { 201: { description: 'It is <new>.' }, 404: { $ref: '#/components/responses/NotFound' } },
      },
    },
  },
  components: {
    schemas: {
      Entry: {
        type: 'object',
        required: ['size'],
        properties: {
          size: { type: 'integer', minimum: 1, description: 'Bytes.', default: 5 },
          parts: { type: 'array', items: { type: 'object', properties: { at: { type: ['integer', 'null'] } } } },
        },
      },
    },
    responses: {
      NotFound: {
        description: 'There is none.',
        content: { 'application/json': { schema: { oneOf: [{ $ref: '#/components/schemas/Entry' }, { const: 1 }] } } },
      },
    },
  },
};

test('a description becomes a page for each tag, one for the schemas, and one that lists them', () => {
  const pages = new Map(makeApiPages(API).map(({ path, text }) => [path.replace('reference/rest/', ''), text]));
  expect([...pages.keys()]).toEqual(['index.md', 'files.md', 'schemas.md']);
  expect(pages.get('index.md')).toContain('| `PUT /files/{id}` | Write a file. |');
  const files = pages.get('files.md')?.split('\n');
  expect(files).toEqual(
    expect.arrayContaining([
      '## PUT /files/{id}',
      '| `id` | path | string matching `` a\\|b `` | One\\|two |',
      '`application/json`: [Entry](schemas.md#entry).',
      '| 201 | It is &lt;new>. | none |',
      '| 404 | There is none. | `application/json`: [Entry](schemas.md#entry) or `` 1 `` |',
    ]),
  );
  const schemas = pages.get('schemas.md')?.split('\n');
  expect(schemas).toEqual(
    expect.arrayContaining([
      '| `size` | integer from 1 | Bytes. Default: `` 5 ``. |',
      '| `parts` (optional) | list of object |  |',
      '| `parts[].at` (optional) | integer or null |  |',
    ]),
  );
});
