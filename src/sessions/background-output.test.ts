import { expect, test } from 'vitest';
import { RESULT } from '../../test/support/result.ts';
import { GloveboxError } from '../errors.ts';
import { readStates, readStream } from './background-output.ts';

/** What is known of an execution that an earlier control plane began: its output is in its file alone. */
const LEFT = {
  ...RESULT,
  truncated: { stdout: { leftOutBytes: 6, totalBytes: 6, file: '.outputs/exe_1', fileBytes: 6 } },
};
const WANTED = { name: 'stdout', from: 0, most: 100 } as const;

function filesThat(read: () => Promise<{ content: Buffer }>) {
  return { read };
}

const fail = (code: 'engine_unavailable' | 'file_not_found') =>
  filesThat(() => Promise.reject(new GloveboxError(code, 'It cannot be read.')));

test('output that cannot be read while the engine is down is not passed over, but there for who asks again', async () => {
  const now = await readStream(fail('engine_unavailable'), WANTED, LEFT);
  expect(now).toEqual({ text: '', next: 0 });
  const back = filesThat(async () => ({ content: Buffer.from('hello\n') }));
  expect(await readStream(back, { ...WANTED, from: now.next }, LEFT)).toEqual({ text: 'hello\n', next: 6 });
});

test('output whose file is gone is told as left out', async () => {
  const { text, next } = await readStream(fail('file_not_found'), WANTED, LEFT);
  expect(text).toContain('6 bytes left out');
  expect(next).toBe(6);
});

test('a part goes on while little is left of what it has read, and its offset counts all of it', async () => {
  const bytes = Buffer.from(Array.from({ length: 200 }, (_, n) => `\r${n} of 200`).join(''));
  const files = (content: Buffer) => ({
    read: async (_path: string, { offset = 0, length = 0 }) => ({
      content: content.subarray(offset, offset + length),
    }),
  });
  expect(await readStates(files(bytes), WANTED, LEFT)).toEqual({ text: expect.stringMatching(/^155 $/), next: 1600 });
  const plain = Buffer.from('line\n'.repeat(200));
  expect(await readStates(files(plain), WANTED, LEFT)).toEqual({ text: 'line\n'.repeat(20), next: 100 });
});
