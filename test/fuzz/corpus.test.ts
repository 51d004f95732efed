import { describe, expect, test } from 'vitest';
import { keptInputs } from './corpus.ts';
import { TARGETS } from './targets/index.ts';

describe.each(TARGETS)('$name', (target) => {
  test('has inputs that the fuzzer begins with', () => {
    expect(keptInputs(target.name).length).toBeGreaterThan(5);
  });

  test.each(keptInputs(target.name))('holds what must hold for $name', async ({ input }) => {
    await target.run(input);
  });
});
