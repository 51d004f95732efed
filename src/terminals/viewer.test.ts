import { expect, test } from 'vitest';
import { InputQueue } from './input-queue.ts';
import { Scrollback } from './scrollback.ts';
import { Viewer, type ViewerMessage } from './viewer.ts';

test('a viewer that takes nothing is told the last of many sizes only', async () => {
  const told: ViewerMessage[] = [];
  const taken = Promise.withResolvers<void>();
  const tell = (message: ViewerMessage) => {
    told.push(message);
    return taken.promise;
  };
  const viewer = new Viewer({ tell, send: () => taken.promise }, new Scrollback(1024), 0, () => {});
  for (let rows = 1; rows <= 1000; rows += 1) viewer.resize({ rows, cols: 80 });
  expect(told).toEqual([{ type: 'resized', rows: 1, cols: 80 }]);
  taken.resolve();
  await expect.poll(() => told).toHaveLength(2);
  expect(told[1]).toEqual({ type: 'resized', rows: 1000, cols: 80 });
  viewer.close();
});

test('a program that reads nothing has the last of many sizes only', async () => {
  const input = new InputQueue();
  for (let rows = 1; rows <= 1000; rows += 1) input.resize(rows, 80);
  void input.type(Buffer.from('a'));
  input.resize(5, 6);
  const { value } = await input.frames().next();
  expect(value).toEqual(Buffer.from(['0103e80050', '000000000161', '0100050006'].join(''), 'hex'));
});
