import { type Duplex, duplexPair } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PieceStream } from '../lib/reused-memory.ts';
import { Channel } from './channel.ts';
import { encodeFrame, type Frame, FrameDecoder, FrameType } from './frames.ts';

const EVERY_MS = 1000;

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

/** Opens a channel over a connection that asks for a heartbeat. */
async function open(greeting: object = { pings: true }) {
  const [ours, runner] = duplexPair();
  const onSilent = vi.fn();
  const stream: PieceStream = Object.assign(ours, { heartbeat: { everyMs: EVERY_MS, onSilent, outage: undefined } });
  runner.write(encodeFrame(FrameType.ready, 0, Buffer.from(JSON.stringify(greeting))));
  const channel = await Channel.open(stream);
  return { channel, runner, onSilent };
}

/** The pings that the runner has been sent since the last call. */
function takePings(runner: Duplex): Frame[] {
  const sent: unknown = runner.read();
  return Buffer.isBuffer(sent)
    ? [...new FrameDecoder().decode(sent)].filter(({ type }) => type === FrameType.ping)
    : [];
}

const pong = (payload: Buffer = Buffer.alloc(8)) => encodeFrame(FrameType.pong, 0, payload);

/** Sends bytes to the control plane, and waits until it has taken them. */
async function send(runner: Duplex, bytes: Buffer): Promise<void> {
  await new Promise((resolve) => runner.write(bytes, resolve));
}

describe('a connection that asks for a heartbeat', () => {
  it('has the runner asked once it is quiet, and counts as silent after two more such times until something comes', async () => {
    const { channel, runner, onSilent } = await open();
    vi.advanceTimersByTime(2 * EVERY_MS);
    const [ping, ...more] = takePings(runner);
    expect([ping?.payload.length, ping?.stream, more]).toEqual([8, 0, []]);
    vi.advanceTimersByTime(EVERY_MS);
    expect(onSilent).not.toHaveBeenCalled();
    vi.advanceTimersByTime(2 * EVERY_MS);
    expect(onSilent).toHaveBeenCalledTimes(2);
    expect(takePings(runner)).toEqual([]);

    await send(runner, pong(ping?.payload));
    vi.advanceTimersByTime(3 * EVERY_MS);
    expect(onSilent).toHaveBeenCalledTimes(2);
    expect(takePings(runner)).toHaveLength(1);
    channel.close();
  });

  it('is asked nothing while something else comes', async () => {
    const { channel, runner, onSilent } = await open();
    channel.execute({ code: '' }, () => {});
    for (let second = 0; second < 10; second += 1) {
      vi.advanceTimersByTime(EVERY_MS);
      await send(runner, encodeFrame(FrameType.stdout, 1, Buffer.from('x')));
    }
    expect(takePings(runner)).toEqual([]);
    expect(onSilent).not.toHaveBeenCalled();
    channel.close();
  });

  it('is asked nothing if the runner does not answer pings, or once it is closed', async () => {
    const old = await open({});
    const closed = await open();
    closed.channel.close();
    vi.advanceTimersByTime(10 * EVERY_MS);
    expect([...takePings(old.runner), ...takePings(closed.runner)]).toEqual([]);
    expect(old.onSilent).not.toHaveBeenCalled();
    expect(closed.onSilent).not.toHaveBeenCalled();
    old.channel.close();
  });

  it('takes a pong that nobody asked for, another one or a second one for hostile', async () => {
    const unasked = await open();
    unasked.runner.write(pong());
    expect(await unasked.channel.closed).toEqual({ violation: 'a pong without its ping' });

    const other = await open();
    vi.advanceTimersByTime(2 * EVERY_MS);
    const [ping] = takePings(other.runner);
    other.runner.write(Buffer.concat([pong(ping?.payload), pong(ping?.payload)]));
    expect(await other.channel.closed).toEqual({ violation: 'a pong without its ping' });

    const [ours, runner] = duplexPair();
    runner.write(encodeFrame(FrameType.ready, 0, Buffer.from('{"pings":true}')));
    const without = await Channel.open(ours);
    runner.write(pong());
    expect(await without.closed).toHaveProperty('violation');
  });
});
