import { expect, it } from 'vitest';
import { FrameType } from './frames.ts';
import { Tunnel } from './tunnel.ts';

it('sends what was written together in one frame, and no more than it was granted', () => {
  const sent: string[] = [];
  const tunnel = new Tunnel(
    (type, payload, onWritten) => {
      if (type === FrameType.data) sent.push(payload.toString());
      onWritten?.();
    },
    () => {},
  );
  tunnel.cork();
  for (const piece of ['3\r\n', 'abc', '\r\n']) tunnel.write(piece);
  tunnel.uncork();
  expect(sent).toEqual(['3\r\nabc\r\n']);
  tunnel.write(Buffer.alloc(2 ** 20, 'x'));
  tunnel.cork();
  tunnel.write('later ');
  tunnel.write('on');
  tunnel.uncork();
  expect(sent.join('')).not.toContain('later');
  // Each time as much as was sent since the last.
  for (let granted = 0; granted < sent.join('').length; ) {
    const used = sent.join('').length - granted;
    granted += used;
    tunnel.credit(used);
  }
  expect(sent.join('').length).toBe(2 ** 20 + 8 + 8);
  expect(sent.at(-1)).toContain('later on');
});
