import { expect, test } from 'vitest';
import { parseSandboxJson } from './sandbox-json.ts';

test.each([
  ['"\\ud83d"', '\ufffd'],
  ['"\\udcff.txt"', '\ufffd.txt'],
  ['"\\ud83d\\ude00 \\ud83d"', '😀 \ufffd'],
  ['"\\ude00\\ud83d"', '\ufffd\ufffd'],
  ['"\\ud83d\\ud83d\\ude00"', '\ufffd😀'],
  ['"\\\\ud83d"', '\\ud83d'],
  ['"\\\\\\ud83d"', '\\\ufffd'],
  ['"\\uD83D\\n"', '\ufffd\n'],
  ['{"\\ud800": ["\\udfff", {"a": "\\u00e9"}]}', { '\ufffd': ['\ufffd', { a: 'é' }] }],
])('%s carries no half of a surrogate pair', (json, value) => {
  expect(parseSandboxJson(json)).toEqual(value);
  expect(parseSandboxJson(Buffer.from(json))).toEqual(value);
});

test('what is no JSON throws', () => {
  expect(() => parseSandboxJson('"\\ud83d')).toThrow(SyntaxError);
});
