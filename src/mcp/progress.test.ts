import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ProgressFeed } from './progress.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function openFeed(isSlow = () => false) {
  const sent: [number, string][] = [];
  const feed = new ProgressFeed({ send: async (...message) => void sent.push(message), isSlow });
  const say = (text: string) => feed.emit({ type: 'stdout', text });
  return { feed, sent, say };
}

test('sends the first at once and then one per interval, with all that came since', async () => {
  const { sent, say } = openFeed();
  say('a');
  expect(sent).toEqual([[1, 'a']]);
  say('b');
  say('c');
  await vi.advanceTimersByTimeAsync(99);
  expect(sent).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(sent).toEqual([
    [1, 'a'],
    [2, 'bc'],
  ]);
});

test('flushes what is left, and says nothing when nothing is', async () => {
  const { feed, sent, say } = openFeed();
  say('a');
  say('b');
  await feed.flush();
  await feed.flush();
  await vi.advanceTimersByTimeAsync(1000);
  expect(sent.map(([, text]) => text)).toEqual(['a', 'b']);
});

test('keeps the newest text of a flood, whole characters only', async () => {
  const { feed, sent, say } = openFeed();
  say('first');
  for (let round = 0; round < 5000; round += 1) say('ab😀');
  await feed.flush();
  const text = sent[1]?.[1] ?? '';
  expect(text.length).toBeLessThanOrEqual(4096);
  expect(text.isWellFormed()).toBe(true);
  expect(text.endsWith('ab😀')).toBe(true);
});

test('gathers while the client lags behind, and goes on when it has caught up', async () => {
  let slow = true;
  const { sent, say } = openFeed(() => slow);
  say('a');
  say('b');
  await vi.advanceTimersByTimeAsync(500);
  expect(sent).toEqual([]);
  slow = false;
  await vi.advanceTimersByTimeAsync(100);
  expect(sent).toEqual([[1, 'ab']]);
});

test('never has two messages on their way, and survives a transport that fails', async () => {
  const sends: PromiseWithResolvers<void>[] = [];
  const feed = new ProgressFeed({
    send: () => {
      const sending = Promise.withResolvers<void>();
      sends.push(sending);
      return sending.promise;
    },
  });
  feed.emit({ type: 'stdout', text: 'a' });
  feed.emit({ type: 'stdout', text: 'b' });
  await vi.advanceTimersByTimeAsync(1000);
  expect(sends).toHaveLength(1);
  sends[0]?.reject(new Error('closed'));
  await vi.advanceTimersByTimeAsync(0);
  expect(sends).toHaveLength(2);
  const flushed = feed.flush();
  sends[1]?.resolve();
  await flushed;
});

test('puts messages of its own on lines of their own', async () => {
  const { feed, sent, say } = openFeed();
  feed.emit({ type: 'session', session_id: 'gbx_1' });
  say('x');
  feed.emit({ type: 'progress', message: 'Installing' });
  say('y');
  await feed.flush();
  expect(sent.map(([, text]) => text)).toEqual(['session gbx_1\n', 'x\nInstalling\ny']);
});

test('says in a line what was displayed', async () => {
  const { feed, sent } = openFeed();
  feed.emit({ type: 'display', result: { png: 'iVBORw0KGgo=', text: '<Figure>' } });
  feed.emit({ type: 'display', result: { text: '   a\n0  1' } });
  feed.emit({ type: 'display', result: { text: 'x'.repeat(5000) } });
  feed.emit({ type: 'display', result: { html: '<b>' } });
  await feed.flush();
  expect(sent.map(([, text]) => text).join('')).toBe(
    `[result] image/png\n[result]    a …\n[result] ${'x'.repeat(200)} …\n[result] html\n`,
  );
});

test('is heard of at least every 10 s while the call goes on in silence, and no more once it has ended', async () => {
  const { feed, sent, say } = openFeed();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(sent).toEqual([[1, 'Still running after 8 s.\n']]);
  say('a');
  await vi.advanceTimersByTimeAsync(10_000);
  expect(sent.map(([, text]) => text)).toEqual(['Still running after 8 s.\n', 'a', 'Still running after 18 s.\n']);
  await feed.flush();
  feed.stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sent).toHaveLength(3);
});

test('adds nothing to what a client that lags behind has to read', async () => {
  const { sent } = openFeed(() => true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sent).toEqual([]);
});
