import { expect, test } from 'vitest';
import { toAnswer } from './call-result.ts';

test('an output without results and files is its summary and itself', () => {
  const output = { session_id: 's', packages: [] };
  expect(toAnswer(output, 'sum')).toEqual({ content: [{ type: 'text', text: 'sum' }], structuredContent: output });
});

test('pictures are images, and only named in the structured form', () => {
  const answer = toAnswer(
    {
      session_id: 's',
      status: 'ok',
      results: [
        { text: 'f', png: 'AAAA', jpeg: '/9AA' },
        { text: 'x', json: [1] },
      ],
    },
    'sum',
  );
  expect(answer).toEqual({
    content: [
      { type: 'text', text: 'sum' },
      { type: 'image', data: 'AAAA', mimeType: 'image/png' },
      { type: 'image', data: '/9AA', mimeType: 'image/jpeg' },
    ],
    structuredContent: {
      session_id: 's',
      status: 'ok',
      results: [
        { text: 'f', attached: ['png', 'jpeg'] },
        { text: 'x', json: [1] },
      ],
    },
  });
});

test('pictures beyond the budget are named in the text and left out of both forms', () => {
  const png = 'A'.repeat(3 * 1024 * 1024);
  const { content, structuredContent } = toAnswer(
    { session_id: 's', results: [{ png }, { png, text: 'second' }, { png: 'AAAA' }] },
    'sum',
  );
  expect(content.map((part) => part.type)).toEqual(['text', 'image', 'image']);
  expect(content[0]).toMatchObject({ text: expect.stringContaining('png of result 2') });
  expect(structuredContent).toEqual({
    session_id: 's',
    results: [{ attached: ['png'] }, { text: 'second' }, { attached: ['png'] }],
  });
});

test('an answer of 2026-07-28 stays below the 1 MiB at which clients of that version end the stream', () => {
  const png = 'A'.repeat(500 * 1024);
  const output = { session_id: 's', results: [{ png }, { png }, { png: 'AAAA' }] };
  const { content, structuredContent } = toAnswer(output, 'sum', '2026-07-28');
  expect(JSON.stringify({ content, structuredContent }).length).toBeLessThan(1024 * 1024);
  expect(content.map((part) => part.type)).toEqual(['text', 'image', 'image']);
  expect(content[0]).toMatchObject({ text: expect.stringContaining('png of result 2') });
  expect(toAnswer(output, 'sum', '2025-11-25').content.map((part) => part.type)).toEqual([
    ...['text', 'image', 'image', 'image'],
  ]);
});

test('changed files are links that no client takes for images', () => {
  const paths = ['a b/ü#?.csv', 'plot.png', 'x', 'constructor', 'half\ud800.TXT'];
  const { content } = toAnswer({ session_id: 'my session', files: paths.map((path) => ({ path, size: 1 })) }, 'sum');
  expect(content.slice(1)).toMatchObject([
    { type: 'resource_link', uri: 'glovebox://sessions/my%20session/files/a%20b/%C3%BC%23%3F.csv', name: paths[0] },
    { uri: 'glovebox://sessions/my%20session/files/plot.png' },
    { name: 'x' },
    { name: 'constructor' },
    { uri: 'glovebox://sessions/my%20session/files/half%EF%BF%BD.TXT' },
  ]);
  expect(content.slice(1).map((part) => 'mimeType' in part && part.mimeType)).toEqual([
    'text/csv',
    'application/octet-stream',
    'application/octet-stream',
    'application/octet-stream',
    'text/plain',
  ]);
});

test('at most 20 files are links, and none for a client whose protocol has no links', () => {
  const output = { session_id: 's', files: Array.from({ length: 30 }, (_, index) => ({ path: `${index}` })) };
  expect(toAnswer(output, 'sum').content).toHaveLength(21);
  expect(toAnswer(output, 'sum', '2025-06-18').content).toHaveLength(21);
  expect(toAnswer(output, 'sum', '2025-03-26').content).toHaveLength(1);
});

test('what would flood a model is cut or left out of the structured form, and named', () => {
  const results = [{ text: 'x'.repeat(50_000), html: 'y'.repeat(50_000), markdown: 'short' }];
  const { structuredContent } = toAnswer({ session_id: 's', results }, '');
  const [result] = structuredContent['results'] as Record<string, unknown>[];
  expect(result).toMatchObject({ markdown: 'short', truncated: ['text', 'html'] });
  expect(result).not.toHaveProperty('html');
  expect(result?.['text']).toMatch(/^x{20000} … 30000 characters left out$/);
});
