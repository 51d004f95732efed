import { type Duplex, duplexPair } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { REPORT } from '../../test/support/report.ts';
import { Channel } from './channel.ts';
import { encodeFrame, FIRST_TUNNEL, FrameDecoder, FrameType, INITIAL_CREDIT, WEB_WINDOW } from './frames.ts';

const ready = encodeFrame(FrameType.ready, 0, Buffer.from('{}'));
const end = (stream: number, report: unknown = REPORT) =>
  encodeFrame(FrameType.end, stream, Buffer.from(JSON.stringify(report)));
const output = (stream: number, text: string) => encodeFrame(FrameType.stdout, stream, Buffer.from(text));
const credit = (stream: number, bytes: number) => {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return encodeFrame(FrameType.credit, stream, payload);
};

async function openChannel(greeting: object = {}): Promise<{ channel: Channel; runner: Duplex }> {
  const [ours, runner] = duplexPair();
  runner.write(encodeFrame(FrameType.ready, 0, Buffer.from(JSON.stringify(greeting))));
  return { channel: await Channel.open(ours), runner };
}

/** The next frame of that type that the runner is sent. */
async function nextFrame(runner: Duplex, type: number): Promise<Buffer> {
  const decoder = new FrameDecoder();
  const found = Promise.withResolvers<Buffer>();
  const onData = (chunk: Buffer) => {
    for (const frame of decoder.decode(chunk)) if (frame.type === type) found.resolve(Buffer.from(frame.payload));
  };
  runner.on('data', onData);
  const payload = await found.promise;
  runner.off('data', onData);
  return payload;
}

describe('a channel', () => {
  it('tells the runner its configuration before anything else', async () => {
    const [ours, runner] = duplexPair();
    runner.write(ready);
    const channel = await Channel.open(ours, { configuration: { preload: ['numpy'] } });
    channel.execute({ code: '' }, () => {});
    const [first] = new FrameDecoder().decode(runner.read() as Buffer);
    expect(first).toMatchObject({ type: FrameType.configure, stream: 0 });
    expect(JSON.parse(String(first?.payload))).toEqual({ preload: ['numpy'] });
  });

  it('passes on what the runner notes, and takes no end of notes for hostile', async () => {
    const [ours, runner] = duplexPair();
    runner.write(ready);
    const notes: unknown[] = [];
    const channel = await Channel.open(ours, { onNote: (note) => notes.push(note) });
    const note = { preload_failed: { module: 'numpy', reason: 'ImportError: no' } };
    const frame = encodeFrame(FrameType.note, 0, Buffer.from(JSON.stringify(note)));
    runner.write(Buffer.concat(Array.from({ length: 100 }, () => frame)));
    expect(await channel.closed).toEqual({ violation: 'too many notes' });
    expect(notes[0]).toEqual(note);
    expect(notes.length).toBeLessThan(50);
  });

  it('asks what an execution has used, once at a time, until it has ended', async () => {
    const { channel, runner } = await openChannel({ usage: true });
    expect(channel.tellsUsage).toBe(true);
    const execution = channel.execute({ code: '' }, () => {});
    const answers = [execution.usage(), execution.usage()];
    await nextFrame(runner, FrameType.ask);
    const used = { cpu_ms: 120, stdout: 5, stderr: 0 };
    runner.write(encodeFrame(FrameType.usage, 1, Buffer.from(JSON.stringify(used))));
    const usage = { cpuMs: 120, stdout: 5, stderr: 0 };
    expect(await Promise.all(answers)).toEqual([usage, usage]);
    const late = execution.usage();
    runner.write(end(1));
    expect(await late).toBeUndefined();
  });

  it.each([
    ['that nobody has asked for', false, { cpu_ms: 1, stdout: 0, stderr: 0 }],
    ['that is no usage', true, { cpu_ms: -1, stdout: 0, stderr: 0 }],
    ['that is incomplete', true, {}],
  ])('takes an answer %s for hostile', async (_what, isAsked, used) => {
    const { channel, runner } = await openChannel({ usage: true });
    const execution = channel.execute({ code: '' }, () => {});
    const answer = isAsked ? execution.usage() : undefined;
    runner.write(encodeFrame(FrameType.usage, 1, Buffer.from(JSON.stringify(used))));
    expect((await channel.closed).violation).toBeDefined();
    expect(await answer).toBeUndefined();
  });

  it('tells the services of tunnels, and takes one that there is not for hostile', async () => {
    const [ours, runner] = duplexPair();
    runner.write(ready);
    const services: string[] = [];
    const channel = await Channel.open(ours, { onTunnel: (_, service) => services.push(service) });
    const open = (stream: number, service: string) => encodeFrame(FrameType.open, stream, Buffer.from(service));
    const opened = ['', 'tools', 'web', 'x'].map((service, index) => open(FIRST_TUNNEL + 1 + index, service));
    runner.write(Buffer.concat(opened));
    expect(await channel.closed).toEqual({ violation: `tunnel ${FIRST_TUNNEL + 4} to an unknown service` });
    expect(services).toEqual(['packages', 'tools', 'web']);
  });

  it('lets more be on its way in a tunnel to the web, each way, and no more than that', async () => {
    const [ours, runner] = duplexPair();
    runner.write(ready);
    const opened = Promise.withResolvers<Duplex>();
    const channel = await Channel.open(ours, { onTunnel: (tunnel) => opened.resolve(tunnel) });
    const granted = nextFrame(runner, FrameType.credit);
    const stream = FIRST_TUNNEL + 1;
    runner.write(encodeFrame(FrameType.open, stream, Buffer.from('web')));
    const more = WEB_WINDOW - INITIAL_CREDIT;
    expect((await granted).readUInt32BE()).toBe(more);
    runner.write(credit(stream, more));
    const tunnel = await opened.promise;
    const sent = new Promise((resolve) => tunnel.write(Buffer.alloc(WEB_WINDOW), resolve));
    runner.resume();
    expect(await sent).toBeFalsy();
    runner.write(credit(stream, WEB_WINDOW + 1));
    expect(await channel.closed).toEqual({ violation: 'tunnel credit beyond its window' });
  });

  it('takes a note that is none for hostile', async () => {
    const { channel, runner } = await openChannel();
    runner.write(encodeFrame(FrameType.note, 0, Buffer.from('{"preload_failed":{"module":7}}')));
    expect(await channel.closed).toHaveProperty('violation');
  });

  it('gives each execution its own output and its own end', async () => {
    const { channel, runner } = await openChannel();
    const seen: string[] = [];
    const first = channel.execute({ code: 'a' }, (_, chunk) => void seen.push(`1${chunk}`));
    const second = channel.execute({ code: 'b' }, (_, chunk) => void seen.push(`2${chunk}`));
    runner.write(Buffer.concat([output(2, 'b'), output(1, 'a'), end(2, { ...REPORT, exit_code: 7 }), end(1)]));
    expect(await second.ended).toMatchObject({ exit_code: 7 });
    expect(await first.ended).toMatchObject({ exit_code: 0 });
    expect(seen).toEqual(['2b', '1a']);
  });

  it('tells an execution that waits for its end that the channel has closed', async () => {
    const { channel, runner } = await openChannel();
    const begun = channel.execute({ code: '' }, () => {});
    runner.destroy();
    expect(await begun.ended).toBeUndefined();
    await channel.closed;
    expect(await channel.execute({ code: '' }, () => {}).ended).toBeUndefined();
  });

  it('grants no credit for output that a slow sink still holds', async () => {
    const { channel, runner } = await openChannel();
    const slow = Promise.withResolvers<void>();
    const execution = channel.execute({ code: '' }, () => slow.promise);
    const grant = nextFrame(runner, FrameType.credit);
    runner.write(output(1, 'x'.repeat(INITIAL_CREDIT)));
    runner.write(end(1));
    await execution.ended;
    let delivered = false;
    void execution.delivered().then(() => {
      delivered = true;
    });
    await Promise.resolve();
    expect(delivered).toBe(false);
    slow.resolve();
    expect((await grant).readUInt32BE()).toBe(INITIAL_CREDIT);
  });

  it('lets go of a sink that never takes its output, once told to', async () => {
    const { channel, runner } = await openChannel();
    const execution = channel.execute({ code: '' }, () => new Promise(() => {}));
    const grant = nextFrame(runner, FrameType.credit);
    runner.write(output(1, 'x'.repeat(INITIAL_CREDIT)));
    runner.write(end(1));
    await execution.ended;
    execution.stopWaiting();
    await execution.delivered();
    expect((await grant).readUInt32BE()).toBe(INITIAL_CREDIT);
  });

  it.each([
    ['a length over the limit', Buffer.from([0xff, 0, 0, 0, 17, 0, 0, 0, 1])],
    ['an unknown stream', output(9, 'x')],
    ['an unknown type', encodeFrame(99, 1, Buffer.alloc(0))],
    ['a report that is no JSON', encodeFrame(FrameType.end, 1, Buffer.from('{'))],
    ['a report of another shape', end(1, { ...REPORT, exit_code: 'x' })],
    [
      'a report with more files than there may be',
      end(1, { ...REPORT, files: Array(1001).fill({ path: 'x', size: 1 }) }),
    ],
    ['output beyond its credit', Buffer.concat(Array(6).fill(output(1, 'x'.repeat(INITIAL_CREDIT / 4))))],
    ['a second end', Buffer.concat([end(1), end(1)])],
  ])('is closed by %s', async (_, bytes) => {
    const { channel, runner } = await openChannel();
    channel.execute({ code: '' }, () => new Promise(() => {}));
    runner.write(bytes);
    expect((await channel.closed).violation).toBeTypeOf('string');
  });

  it('survives any bytes whatever', async () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 48271) % 0x7fffffff;
      return seed;
    };
    for (let round = 0; round < 300; round += 1) {
      const { channel, runner } = await openChannel();
      const execution = channel.execute({ code: '' }, () => {});
      const noise = Buffer.from(Array.from({ length: 40 }, () => random() % 256));
      // Half of the rounds begin like a frame, so that the noise reaches what is behind the header.
      if (round % 2) noise.set([0, 0, 0, random() % 24, 16 + (random() % 5), 0, 0, 0, random() % 2]);
      runner.write(noise);
      runner.end();
      await Promise.race([execution.ended, channel.closed]);
      channel.close();
    }
  });

  it('is closed when the runner ends', async () => {
    const { channel, runner } = await openChannel();
    runner.end();
    expect(await channel.closed).toEqual({});
  });

  it('does not open to a runner that ends before it is ready', async () => {
    const [ours, runner] = duplexPair();
    runner.end();
    await expect(Channel.open(ours)).rejects.toMatchObject({ code: 'sandbox_lost' });
  });
});

describe('streamed input', () => {
  const chunks = async function* (...parts: string[]) {
    for (const part of parts) yield Buffer.from(part);
  };

  it('is sent only as far as the runner grants, and its end after it', async () => {
    const { channel, runner } = await openChannel();
    const frames: [number, string][] = [];
    const decoder = new FrameDecoder();
    const finished = Promise.withResolvers<void>();
    runner.on('data', (chunk: Buffer) => {
      for (const { type, payload } of decoder.decode(chunk)) {
        if (type === FrameType.start) continue;
        frames.push([type, payload.toString()]);
        if (type === FrameType.data) runner.write(credit(1, payload.length));
        if (type === FrameType.fin) finished.resolve();
      }
    });
    const pumped = channel.execute({ stdin_stream: true }, () => {}).input.pump(chunks('abcde', 'fg'));
    expect(frames).toEqual([]);
    runner.write(credit(1, 3));
    await Promise.all([pumped, finished.promise]);
    expect(frames).toEqual([
      [FrameType.data, 'abc'],
      [FrameType.data, 'de'],
      [FrameType.data, 'fg'],
      [FrameType.fin, ''],
    ]);
  });

  it('is sent unasked as far as the runner said that it takes it, which the request repeats', async () => {
    const { channel, runner } = await openChannel({ stdin_ahead: 3 });
    const plain = nextFrame(runner, FrameType.start);
    channel.execute({ code: '' }, () => {});
    expect(JSON.parse(String(await plain))).toEqual({ code: '' });
    const start = nextFrame(runner, FrameType.start);
    const data = nextFrame(runner, FrameType.data);
    void channel.execute({ stdin_stream: true }, () => {}).input.pump(chunks('abcde'));
    expect(JSON.parse(String(await start))).toEqual({ stdin_stream: true, stdin_granted: 3 });
    expect(String(await data)).toBe('abc');
    const rest = nextFrame(runner, FrameType.data);
    runner.write(credit(2, 9));
    expect(String(await rest)).toBe('de');
  });

  it('is asked for in amounts that would gather here by a hostile runner only', async () => {
    const { channel, runner } = await openChannel();
    channel.execute({ stdin_stream: true }, () => {});
    for (let grant = 0; grant < 5; grant += 1) runner.write(credit(1, 1024 * 1024));
    expect(await channel.closed).toEqual({ violation: 'input credit beyond its window' });
    await expect(openChannel({ stdin_ahead: 5 * 1024 * 1024 })).rejects.toMatchObject({ code: 'sandbox_lost' });
  });

  /** Chunks without end, and whether whoever takes them has let go of them. */
  const endless = () => {
    const source = { isReleased: false, chunks: chunksWithoutEnd() };
    async function* chunksWithoutEnd() {
      try {
        for (;;) yield Buffer.from('x');
      } finally {
        source.isReleased = true;
      }
    }
    return source;
  };

  it('is no longer asked of its source when the program has ended', async () => {
    const { channel, runner } = await openChannel();
    const source = endless();
    const execution = channel.execute({ stdin_stream: true }, () => {});
    const pumped = execution.input.pump(source.chunks);
    runner.write(Buffer.concat([credit(1, 10), end(1)]));
    await pumped;
    expect(source.isReleased).toBe(true);
  });

  it('that waits for credit holds its source for ever when the channel closes, or has closed', async () => {
    const { channel, runner } = await openChannel();
    const sources = [endless(), endless()] as const;
    const pumped = channel.execute({ stdin_stream: true }, () => {}).input.pump(sources[0].chunks);
    runner.end();
    await pumped;
    await channel.execute({ stdin_stream: true }, () => {}).input.pump(sources[1].chunks);
    expect(sources.map(({ isReleased }) => isReleased)).toEqual([true, true]);
  });
});
