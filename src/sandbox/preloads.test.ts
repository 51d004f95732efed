import { expect, test } from 'vitest';
import type { RunnerExpectation } from '../protocol/channel.ts';
import { ModuleUsage } from './module-usage.ts';
import { Preloads } from './preloads.ts';
import type { Sandbox } from './sandbox.ts';

const MIB = 2 ** 20;
const PANDAS = { modules: ['pandas'], context: false };
const free = () => true;

/** Sandbox whose runner answers at once that it has loaded everything, with 10 MiB for each thing. */
function open(limitMb = 100) {
  const usage = new ModuleUsage();
  let isBusy = false;
  const preloads = new Preloads({ usage, limitBytes: limitMb * MIB, isBusy: () => isBusy, onChange: () => {} });
  const asked: RunnerExpectation[] = [];
  const start = (answer = true) => {
    const sandbox = {
      lost: false,
      expect: async (expectation: RunnerExpectation) => {
        asked.push(expectation);
        const bytes = (expectation.modules.length + Number(expectation.context)) * 10 * MIB;
        if (answer) preloads.hear(sandbox as unknown as Sandbox, { preloaded: { bytes } });
      },
    };
    return sandbox as unknown as Sandbox & { lost: boolean };
  };
  return { usage, preloads, asked, start, setBusy: (value: boolean) => (isBusy = value) };
}

test('a sandbox loads what was used, and more when more was used', async () => {
  const { preloads, asked, start } = open();
  const sandbox = start();
  expect(preloads.lacks(sandbox)).toBe(false);
  preloads.count(PANDAS);
  expect(preloads.lacks(sandbox)).toBe(true);
  await preloads.load(sandbox, free);
  expect(preloads.lacks(sandbox)).toBe(false);
  preloads.count({ modules: ['scipy'], context: true });
  await preloads.load(sandbox, free);
  expect(asked).toEqual([
    { modules: ['pandas'], context: false, bytes: 100 * MIB },
    { modules: ['pandas', 'scipy'], context: true, bytes: 100 * MIB },
  ]);
  expect(preloads.figures).toEqual({ bytes: 30 * MIB, limit: 100 * MIB, sandboxes: 1, failures: 0 });
});

test('all sandboxes together keep the limit, until sessions use or give up what is loaded', async () => {
  const { preloads, asked, start } = open(15);
  preloads.count(PANDAS);
  const [first, second, third] = [start(), start(), start()];
  await preloads.load(first, free);
  await preloads.load(second, free);
  expect(asked.map(({ bytes }) => bytes / MIB)).toEqual([15, 5]);
  expect(preloads.lacks(third)).toBe(false);
  preloads.hear(first, { preloaded: { bytes: 0 } });
  Object.assign(second, { lost: true });
  expect(preloads.figures).toMatchObject({ bytes: 0, sandboxes: 0 });
  expect(preloads.lacks(third)).toBe(true);
});

test('a module that fails, or takes too much, is not asked for again', async () => {
  const { preloads, usage, start } = open();
  preloads.count({ modules: ['a', 'a.part', 'b.part', 'b', 'c'], context: false });
  const sandbox = start(false);
  const loading = preloads.load(sandbox, free);
  await Promise.resolve();
  preloads.hear(sandbox, { preload_failed: { module: 'a', reason: 'ImportError' } });
  preloads.hear(sandbox, { preloaded: { bytes: 0, over: 'b.part' } });
  await loading;
  expect([...usage.wanted.modules]).toEqual(['c']);
  // Of a session, whose own files may be the reason.
  preloads.hear(sandbox, { preload_failed: { module: 'c', reason: 'ImportError' } });
  expect([...usage.wanted.modules]).toEqual(['c']);
  expect(preloads.figures.failures).toBe(2);
});

test('nothing is loaded while executions use all processors, nor once the sandbox is taken', async () => {
  const { preloads, asked, start, setBusy } = open();
  preloads.count(PANDAS);
  setBusy(true);
  let isFree = true;
  const loading = preloads.load(start(), () => isFree);
  expect(asked).toEqual([]);
  isFree = false;
  await loading;
  expect(asked).toEqual([]);
});

test('closing ends the wait for a runner that does not answer', async () => {
  const { preloads, start } = open();
  preloads.count(PANDAS);
  const loading = preloads.load(start(false), free);
  preloads.close();
  await loading;
});
