import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SandboxUnreachable } from '../../sandbox/engine.ts';
import type { ExecOutcome } from './api/exec.ts';
import { awaitNode } from './end-processes.ts';
import { unreachable } from './pods.ts';

const POD = { name: 'glovebox-k', podUid: 'u' };
const missing = ['/missing'];
const outcome = (end: ExecOutcome['end']): ExecOutcome => ({ end, stdout: '', stderr: '' });
const NO_PROGRAM = outcome({ kind: 'refused', message: 'exec failed: stat /missing: no such file or directory' });
const NO_NODE = outcome({ kind: 'refused', message: 'error dialing backend: dial tcp 10.0.0.2:10250: i/o timeout' });

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Asks a node that answers an attempt after so many milliseconds, and is known to be cut off then, if ever. */
function ask(
  answers: readonly { readonly afterMs: number; readonly outcome?: ExecOutcome }[],
  isKnownAfter = Infinity,
) {
  let attempts = 0;
  const run = async () => {
    const { afterMs, outcome: answer } = answers[Math.min(attempts, answers.length - 1)] ?? { afterMs: 0 };
    attempts += 1;
    await vi.advanceTimersByTimeAsync(afterMs);
    return answer;
  };
  const requireRunning = async () => {
    if (attempts >= isKnownAfter) throw unreachable('Its node "n" is not ready.');
    return 'n';
  };
  return awaitNode(POD, { requireRunning }, { run, missing });
}

test('a node that answers was not away', async () => {
  expect(await ask([{ afterMs: 200, outcome: NO_PROGRAM }])).toBe(0);
});

test('a node that answers late was away', async () => {
  expect(await ask([{ afterMs: 3000, outcome: NO_PROGRAM }])).toBe(3000);
});

test('a node is asked again until it answers', async () => {
  const [silent, answers] = [{ afterMs: 5000 }, { afterMs: 100, outcome: NO_PROGRAM }];
  expect(await ask([silent, silent, silent, answers])).toBe(15_100);
});

test('a node to which no connection is made is away', async () => {
  const asked = ask([{ afterMs: 100, outcome: NO_NODE }]);
  await expect(asked).rejects.toBeInstanceOf(SandboxUnreachable);
  await expect(asked).rejects.toThrow('Its node "n" does not answer.');
});

test('a node is not waited for once it is known to be cut off', async () => {
  await expect(ask([{ afterMs: 5000 }], 2)).rejects.toThrow('Its node "n" is not ready.');
});

test('a node of which nothing is known is waited for no longer than the cluster needs to notice', async () => {
  expect(await ask([{ afterMs: 5000 }])).toBe(45_000);
});
