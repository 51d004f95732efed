import { expect, test } from 'vitest';
import { ResultCollector, type RichResult } from './results.ts';

const PNG = `iVBORw0KGgo${'A'.repeat(9)}`;

async function collect(chunks: (string | Buffer)[], limits = { limit: 1000, total: 5000 }) {
  const told: RichResult[] = [];
  const collector = new ResultCollector(limits, (result) => void told.push(result));
  for (const chunk of chunks) await collector.add(Buffer.from(chunk as string));
  expect(collector.results).toEqual(told);
  return { results: collector.results, ignored: collector.ignored };
}

test('lines become results, however they are cut into chunks', async () => {
  const line = `{"text": "\\u00e9", "png": "${PNG}", "json": [1, null], "original": {"path": ".glovebox/results/7-ab-1.png", "size": 9}}\n`;
  const result = {
    text: 'é',
    png: PNG,
    json: [1, null],
    original: { path: '.glovebox/results/7-ab-1.png', size: 9 },
  };
  expect(await collect([line, line])).toEqual({ results: [result, result], ignored: 0 });
  expect(await collect([...line, ...line])).toEqual({ results: [result, result], ignored: 0 });
  expect(await collect([line + line + line.slice(0, -1)])).toEqual({ results: [result, result], ignored: 0 });
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
  ['a format that is none', '{"text": "a", "truncated": ["<b>"]}'],
  ['a JSON value of thousands of levels', `{"json": ${'['.repeat(400)}${']'.repeat(400)}}`],
  ['bytes that are no text', Buffer.from([0xff, 0x00, 0xfe])],
])('a line that is %s is ignored, and the next one is not', async (_name, line) => {
  const { results, ignored } = await collect([line, '\n{"text": "next"}\n']);
  expect(results).toEqual([{ text: 'next' }]);
  expect(ignored).toBe(1);
});

test('unknown keys are dropped, and half characters replaced', async () => {
  const { results } = await collect(['{"text": "a\\ud800", "other": 1, "__proto__": {"html": "x"}}\n']);
  expect(results).toEqual([{ text: 'a\ufffd' }]);
});

test('a line over the limit is ignored whole', async () => {
  const long = JSON.stringify({ text: 'x'.repeat(2000) });
  expect(await collect([...(long.match(/.{1,300}/g) ?? []), '\n{"text": "a"}\n'])).toEqual({
    results: [{ text: 'a' }],
    ignored: 1,
  });
});

test('results end at the total of bytes, and at their number', async () => {
  const line = `${JSON.stringify({ text: 'x'.repeat(900) })}\n`;
  const large = await collect(Array(10).fill(line));
  expect([large.results.length, large.ignored]).toEqual([5, 5]);
  const many = await collect(['{"text":""}\n'.repeat(200)]);
  expect([many.results.length, many.ignored]).toEqual([101, 99]);
});

test('a flood of garbage is no longer looked at, and takes no memory', async () => {
  const collector = new ResultCollector({ limit: 1000, total: 1_000_000 });
  const started = performance.now();
  for (let round = 0; round < 50; round += 1) await collector.add(Buffer.alloc(1 << 20, '\n'));
  expect(performance.now() - started).toBeLessThan(2000);
  await collector.add(Buffer.from('{"text": "a"}\n'));
  expect([collector.results.length, collector.ignored]).toEqual([0, 1000]);
});

test('the program waits while a slow listener takes a result', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const collector = new ResultCollector({ limit: 100, total: 100 }, () => promise);
  let isTaken = false;
  const adding = collector.add(Buffer.from('{"text": "a"}\n')).then(() => {
    isTaken = true;
  });
  await Promise.resolve();
  expect(isTaken).toBe(false);
  resolve();
  await adding;
  expect(isTaken).toBe(true);
});
