import { expect, test } from 'vitest';
import { DisplayCollector } from './displays.ts';

const PNG = `iVBORw0KGgo${'A'.repeat(9)}`;

function collect(chunks: (string | Buffer)[], limits = { limit: 1000, total: 5000 }) {
  const collector = new DisplayCollector(limits);
  const told = chunks.flatMap((chunk) => collector.add(Buffer.from(chunk as string)));
  expect(collector.results).toEqual(told);
  return { results: collector.results, ignored: collector.ignored };
}

test('lines become results, however they are cut into chunks', () => {
  const line = `{"text": "\\u00e9", "png": "${PNG}", "json": [1, null], "original": {"path": ".glovebox/results/7-ab-1.png", "size": 9}}\n`;
  const result = {
    text: 'é',
    png: PNG,
    json: [1, null],
    original: { path: '.glovebox/results/7-ab-1.png', size: 9 },
  };
  expect(collect([line, line])).toEqual({ results: [result, result], ignored: 0 });
  expect(collect([...line, ...line])).toEqual({ results: [result, result], ignored: 0 });
  expect(collect([line + line + line.slice(0, -1)])).toEqual({ results: [result, result], ignored: 0 });
});

test.each([
  ['no JSON', '{"text": '],
  ['no object', '[{"text": "a"}]'],
  ['nothing', ''],
  ['nothing that is known', '{"other": 1}'],
  ['text of a wrong type', '{"text": 1}'],
  ['no base64', '{"png": "iVBORw0KGgo<<<<<<<<<"}'],
  ['a picture of another format', '{"png": "PHNjcmlwdD4="}'],
  ['a path out of its folder', '{"text": "a", "original": {"path": ".glovebox/results/../../etc", "size": 1}}'],
  [
    'an original of a format that is none',
    '{"text": "a", "originals": {"exe": {"path": ".glovebox/results/a.exe", "size": 1}}}',
  ],
  ['a long list of what is omitted', `{"text": "a", "omitted": ${JSON.stringify(Array(9).fill('x/y'))}}`],
  ['a format that is none', '{"text": "a", "truncated": ["<b>"]}'],
  ['a JSON value of thousands of levels', `{"json": ${'['.repeat(400)}${']'.repeat(400)}}`],
  ['bytes that are no text', Buffer.from([0xff, 0x00, 0xfe])],
])('a line that is %s is ignored, and the next one is not', (_name, line) => {
  const { results, ignored } = collect([line, '\n{"text": "next"}\n']);
  expect(results).toEqual([{ text: 'next' }]);
  expect(ignored).toBe(1);
});

test('a result names the files of what it leaves out, and what it cannot show', () => {
  const file = { path: '.glovebox/results/7-ab-1.html', size: 9 };
  const result = { original: file, originals: { html: file, json: file }, omitted: ['video/mp4'] };
  expect(collect([`${JSON.stringify(result)}\n`]).results).toEqual([result]);
});

test('unknown keys are dropped, and half characters replaced', () => {
  const { results } = collect(['{"text": "a\\ud800", "other": 1, "__proto__": {"html": "x"}}\n']);
  expect(results).toEqual([{ text: 'a\ufffd' }]);
});

test('a line over the limit is ignored whole', () => {
  const long = JSON.stringify({ text: 'x'.repeat(2000) });
  expect(collect([...(long.match(/.{1,300}/g) ?? []), '\n{"text": "a"}\n'])).toEqual({
    results: [{ text: 'a' }],
    ignored: 1,
  });
});

test('results end at the total of bytes, and at their number', () => {
  const line = `${JSON.stringify({ text: 'x'.repeat(900) })}\n`;
  const large = collect(Array(10).fill(line));
  expect([large.results.length, large.ignored]).toEqual([5, 5]);
  const many = collect(['{"text":""}\n'.repeat(200)]);
  expect([many.results.length, many.ignored]).toEqual([101, 99]);
});

test('a flood of garbage is no longer looked at, and takes no memory', () => {
  const collector = new DisplayCollector({ limit: 1000, total: 1_000_000 });
  for (let round = 0; round < 50; round += 1) collector.add(Buffer.alloc(1 << 20, '\n'));
  collector.add(Buffer.from('{"text": "a"}\n'));
  expect([collector.results.length, collector.ignored]).toEqual([0, 1000]);
});
