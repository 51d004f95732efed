import { expect, it } from 'vitest';
import { FrameType } from './frames.ts';
import { Tunnel } from './tunnel.ts';

it('sends what was written together in one frame, and no more than it was granted', () => {
  const sent: string[] = [];
  const tunnel = new Tunnel(
    (type, payload) => void (type === FrameType.data && sent.push(payload.toString())),
    () => {},
  );
  tunnel.cork();
  for (const piece of ['3\r\n', 'abc', '\r\n']) tunnel.write(piece);
  tunnel.uncork();
  expect(sent).toEqual(['3\r\nabc\r\n']);
  tunnel.write(Buffer.alloc(2 ** 20, 'x'));
  const granted = sent.join('').length;
  tunnel.cork();
  tunnel.write('later ');
  tunnel.write('on');
  tunnel.uncork();
  expect(sent.join('')).not.toContain('later');
  tunnel.credit(granted);
  tunnel.credit(granted);
  tunnel.credit(granted);
  tunnel.credit(granted);
  expect(sent.join('').length).toBe(2 ** 20 + 8 + 8);
  expect(sent.at(-1)).toContain('later on');
});
