import { describe, expect, test } from 'vitest';
import { EventLog } from './event-log.ts';

const message = (text: string) => ({ jsonrpc: '2.0' as const, method: 'notifications/message', params: { text } });

async function replay(log: EventLog, after: string) {
  const sent: unknown[] = [];
  await log.replayEventsAfter(after, { send: async (_id, { ...event }) => void sent.push(event) });
  return sent;
}

describe('the events of a session', () => {
  test('that came after one are sent again, those of its stream alone', async () => {
    const log = new EventLog();
    const first = await log.storeEvent('one', message('a'));
    await log.storeEvent('other', message('b'));
    await log.storeEvent('one', message('c'));
    expect(await log.getStreamIdForEventId(first)).toBe('one');
    expect(await replay(log, first)).toEqual([message('c')]);
  });

  test('are forgotten, the oldest first, when they are too many or too large; the newest stays', async () => {
    const log = new EventLog();
    const ids: string[] = [];
    for (let round = 0; round < 1200; round += 1) ids.push(await log.storeEvent('one', message(`${round}`)));
    expect(await replay(log, ids[0] ?? '')).toHaveLength(1000);
    const large = message('x'.repeat(8 * 1024 * 1024));
    await log.storeEvent('two', large);
    expect(await log.getStreamIdForEventId(ids[0] ?? '')).toBeUndefined();
    expect(await replay(log, 'two_0')).toEqual([large]);
  });

  test.each(['', 'one', 'one_', 'one_x', 'one_999', '_1', `one_${'9'.repeat(400)}`])(
    'that never were: %j',
    async (id) => {
      const log = new EventLog();
      await log.storeEvent('one', message('a'));
      expect(await log.getStreamIdForEventId(id)).toBeUndefined();
    },
  );
});
