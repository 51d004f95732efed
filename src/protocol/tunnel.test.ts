import { expect, it } from 'vitest';
import { keepAsIs } from '../lib/reused-memory.ts';
import { FrameType, INITIAL_CREDIT } from './frames.ts';
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

/** A tunnel, and the bytes that it has let the sandbox send beyond the first ones. */
function granting() {
  let granted = 0;
  const send = (type: number, payload: Buffer) => {
    if (type === FrameType.credit) granted += payload.readUInt32BE();
  };
  return { tunnel: new Tunnel(send, () => {}), granted: () => granted };
}

it('lends what comes to who reads at once, and copies what waits', () => {
  const { tunnel } = granting();
  tunnel.lendPieces();
  const memory = Buffer.alloc(3, 'a');
  const seen: Buffer[] = [];
  tunnel.on('data', (piece: Buffer) => {
    seen.push(piece);
    tunnel.pause();
  });
  tunnel.deliver(memory, keepAsIs);
  expect(seen).toEqual([memory]);
  expect(seen[0]).toBe(memory);
  tunnel.deliver(memory, keepAsIs);
  memory.fill('b');
  expect(tunnel.read()?.toString()).toBe('aaa');
});

it('is read by pieces, and grants as much again as is taken unless it is paused', () => {
  const { tunnel, granted } = granting();
  const pieces: string[] = [];
  tunnel.deliver(Buffer.from('early'), keepAsIs);
  tunnel.readPieces((piece) => {
    pieces.push(piece.toString());
    if (pieces.length === 2) tunnel.pause();
  });
  tunnel.deliver(Buffer.alloc(INITIAL_CREDIT / 2), keepAsIs);
  expect(granted()).toBe(0);
  tunnel.resume();
  expect(granted()).toBe(INITIAL_CREDIT / 2 + 5);
  tunnel.deliver(Buffer.alloc(INITIAL_CREDIT / 2), keepAsIs);
  expect(granted()).toBe(INITIAL_CREDIT + 5);
  expect(pieces[0]).toBe('early');
});
