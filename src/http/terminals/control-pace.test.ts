import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ControlPace, type PacedSocket } from './control-pace.ts';

class Socket extends EventEmitter implements PacedSocket {
  bufferedAmount = 0;
  isPaused = false;
  readonly pongs: string[] = [];
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  pong(data: unknown): void {
    this.pongs.push(String(data));
  }
}

let socket: Socket;
let pace: ControlPace;

beforeEach(() => {
  vi.useFakeTimers();
  socket = new Socket();
  pace = new ControlPace(socket);
});
afterEach(() => void vi.useRealTimers());

test('control messages are read at once, and more slowly when there is no end of them', async () => {
  for (let n = 0; n < 200; n += 1) pace.count();
  expect(socket.isPaused).toBe(false);
  for (let n = 0; n < 50; n += 1) socket.emit('pong', Buffer.alloc(0));
  expect(socket.isPaused).toBe(true);
  await vi.advanceTimersByTimeAsync(500);
  expect(socket.isPaused).toBe(false);
  // As many as come in one piece are counted, but nobody is left unread for longer than 5 seconds.
  for (let n = 0; n < 10_000; n += 1) socket.emit('ping', Buffer.alloc(0));
  expect(socket.isPaused).toBe(true);
  await vi.advanceTimersByTimeAsync(5000);
  expect(socket.isPaused).toBe(false);
});

test('whoever is not read for two reasons is read when both are over', async () => {
  const goOn = pace.hold();
  for (let n = 0; n < 210; n += 1) pace.count();
  await vi.advanceTimersByTimeAsync(5000);
  expect(socket.isPaused).toBe(true);
  goOn();
  expect(socket.isPaused).toBe(false);
});

test('pings are answered, unless answers are not taken', () => {
  socket.emit('ping', Buffer.from('one'));
  socket.bufferedAmount = 64 * 1024;
  socket.emit('ping', Buffer.from('two'));
  expect(socket.pongs).toEqual(['one']);
});
