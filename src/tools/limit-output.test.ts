import { expect, test } from 'vitest';
import { describeLimit } from './limit-output.ts';

test('a limit that ended a child process is told with what raises it', () => {
  const setting = 'use less, or GLOVEBOX_MEMORY_MB where the server is set up';
  expect(describeLimit({ name: 'memory_mb', value: 256, setting, ended: 'a child process' })).toBe(
    `limit memory_mb = 256, which ended a child process; to change it: ${setting}`,
  );
});
