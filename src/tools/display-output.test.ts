import { expect, test } from 'vitest';
import { resultsOutput, summarizeResults } from './display-output.ts';

test('a summary says the best text of each result, pictures by format and size, and the files of what is left out', () => {
  const summary = summarizeResults([
    { text: '42' },
    { text: '   a\n0  1', html: '<table>', json: { columns: ['a'] } },
    { text: '<Figure size 640x480 with 1 Axes>', png: 'A'.repeat(45_336) },
    { text: '<IPython.core.display.Markdown object>', markdown: '# Title' },
    { text: '<IPython.core.display.JSON object>', json: { a: 1 } },
    {
      text: 'p',
      jpeg: 'AAAA',
      truncated: ['jpeg'],
      original: { path: '.glovebox/results/1-a-1.png', size: 2_400_000 },
    },
    {
      text: 'map',
      truncated: ['html', 'json'],
      original: { path: '.glovebox/results/1-a-2.html', size: 2000 },
      originals: {
        html: { path: '.glovebox/results/1-a-2.html', size: 2000 },
        json: { path: '.glovebox/results/1-a-3.json', size: 12 },
      },
    },
    { text: 'clip', omitted: ['video/mp4'] },
    { text: 'p', attached: ['png'] },
  ]);
  expect(summary).toBe(
    [
      '[result] 42',
      '[result] \n   a\n0  1',
      '[result] [image png, 34 kB] <Figure size 640x480 with 1 Axes>',
      '[result] # Title',
      '[result] {"a":1}',
      '[result] [image jpeg, 3 bytes] [original .glovebox/results/1-a-1.png, 2.4 MB] p [shortened: jpeg]',
      '[result] [original .glovebox/results/1-a-2.html, 2 kB] [original .glovebox/results/1-a-3.json, 12 bytes] map [shortened: html, json]',
      '[result] clip [cannot be shown: video/mp4]',
      '[result] p',
    ].join('\n'),
  );
  expect(summarizeResults(undefined)).toBe('');
});

test('a long text is cut, and never within a character', () => {
  const summary = summarizeResults([{ text: `${'x'.repeat(9999)}😀${'y'.repeat(9999)}` }]);
  expect(summary.length).toBeLessThan(10_100);
  expect(summary.isWellFormed()).toBe(true);
  expect(summary).toMatch(/x� …$/);
});

test('the output schema takes what the sandbox gives and what an answer adds', () => {
  expect(resultsOutput.safeParse([{ text: 'a', json: null, attached: ['png'] }]).success).toBe(true);
  expect(resultsOutput.safeParse([{ png: 1 }]).success).toBe(false);
});
