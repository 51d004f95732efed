import { type Duplex, duplexPair } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { REPORT } from '../../test/support/report.ts';
import { GloveboxError } from '../errors.ts';
import { ExecutionClock } from '../execution/execution-clock.ts';
import type { ExecutionRequest, SandboxReset } from '../execution/request.ts';
import type { Outage, PieceStream } from '../lib/reused-memory.ts';
import { encodeFrame, FIRST_KEPT, FrameDecoder, FrameType, PROTOCOL_VERSION } from '../protocol/frames.ts';
import { type Engine, SandboxUnreachable } from './engine.ts';
import { Sandbox } from './sandbox.ts';

const JOB: ExecutionRequest = {
  background: { timeout_s: 10 },
  keep: { id: 'job', inline: 0, limit: 1, total: 1 },
};
const LOSS = { reason: 'runner_lost', lost: ['contexts', 'background'] };

const json = (type: number, stream: number, value: unknown) =>
  encodeFrame(type, stream, Buffer.from(JSON.stringify(value)));
const newRunner = json(FrameType.ready, 0, { protocol: PROTOCOL_VERSION });
const adopted = { contexts: [], executions: [{ id: 'job', stream: FIRST_KEPT, ran_ms: 1 }] };
const oldRunner = json(FrameType.ready, 0, { protocol: PROTOCOL_VERSION, adopted });
const end = (stream: number) => json(FrameType.end, stream, REPORT);

const never = () => new Promise<never>(() => {});
const unavailable = () => Promise.reject(new GloveboxError('engine_unavailable', 'The engine is away.'));

/** A runner that greets so, and what it is sent from then on. */
function runnerThat(greets: Buffer) {
  const [ours, stream] = duplexPair();
  const decoder = new FrameDecoder();
  const sent: { type: number; stream: number; text: string }[] = [];
  stream.on('data', (chunk: Buffer) => {
    for (const { type, stream: id, payload } of decoder.decode(chunk))
      sent.push({ type, stream: id, text: `${payload}` });
  });
  stream.write(greets);
  return { ours, stream, sent };
}

/** A sandbox that is connected so, time after time, on an engine that otherwise does what it is asked. */
function openSandbox(connections: (() => Promise<Duplex>)[], more: Partial<Engine> = {}) {
  const cleared: string[] = [];
  const engine: Engine = {
    start: never,
    list: async () => [],
    connect: () => (connections.shift() ?? never)(),
    endProcesses: async (ref: string) => cleared.push(ref) > 0,
    remove: async () => {},
    info: async () => ({ name: '', version: '' }),
    ...more,
  };
  const sandbox = new Sandbox(engine, { ref: 'one', key: 'k' });
  const execute = (
    request: ExecutionRequest,
    timeoutMs: number,
    signal = new AbortController().signal,
    clock?: ExecutionClock,
  ) => sandbox.execute(request, { timeoutMs, clock, signal, onOutput: () => {} });
  return { sandbox, execute, cleared };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test.each<[string, ExecutionRequest]>([
  ['a call', { code: '' }],
  ['a background execution', JOB],
])('%s is not ended while its clock stands still, and afterwards when its own time is over', async (_what, request) => {
  const { ours, sent, stream } = runnerThat(newRunner);
  const clock = new ExecutionClock();
  const { execute } = openSandbox([async () => ours]);
  const ended = execute(request, 10_000, new AbortController().signal, clock);
  await vi.advanceTimersByTimeAsync(9000);
  const pause = clock.pause();
  await vi.advanceTimersByTimeAsync(600_000);
  pause[Symbol.dispose]();
  await vi.advanceTimersByTimeAsync(999);
  expect(sent.filter(({ type }) => type === FrameType.stop)).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(sent.at(-1)).toEqual({ type: FrameType.stop, stream: 1, text: 'i' });
  stream.write(end(1));
  expect(await ended).toMatchObject({ status: 'timeout', termination: 'interrupt' });
});

describe('a background execution whose connection breaks', () => {
  test('has as much more time as it takes to follow it again', async () => {
    const [first, second] = [runnerThat(newRunner), runnerThat(oldRunner)];
    const reached = Promise.withResolvers<Duplex>();
    const { execute } = openSandbox([async () => first.ours, () => reached.promise]);
    const ended = execute(JOB, 10_000);
    await vi.advanceTimersByTimeAsync(6000);
    first.stream.destroy();
    await vi.advanceTimersByTimeAsync(3000);
    reached.resolve(second.ours);
    await vi.advanceTimersByTimeAsync(999);
    expect(second.sent).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(second.sent).toEqual([{ type: FrameType.stop, stream: FIRST_KEPT, text: 'i' }]);
    second.stream.write(end(FIRST_KEPT));
    expect(await ended).toMatchObject({ status: 'timeout', termination: 'interrupt', reattached: true });
  });

  test('has what is left by its clock, which may have stood still, when it is followed again', async () => {
    const [first, second] = [runnerThat(newRunner), runnerThat(oldRunner)];
    const clock = new ExecutionClock();
    const { execute } = openSandbox([async () => first.ours, async () => second.ours]);
    const ended = execute(JOB, 10_000, new AbortController().signal, clock);
    await vi.advanceTimersByTimeAsync(5000);
    const pause = clock.pause();
    await vi.advanceTimersByTimeAsync(60_000);
    first.stream.destroy();
    await vi.advanceTimersByTimeAsync(1000);
    pause[Symbol.dispose]();
    await vi.advanceTimersByTimeAsync(4999);
    expect(second.sent).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(second.sent).toEqual([{ type: FrameType.stop, stream: FIRST_KEPT, text: 'i' }]);
    second.stream.write(end(FIRST_KEPT));
    expect(await ended).toMatchObject({ status: 'timeout', reattached: true });
  });

  test('is said not to have run, and runs again, if its runner then breaks the protocol', async () => {
    const first = runnerThat(newRunner);
    const second = runnerThat(Buffer.concat([oldRunner, oldRunner]));
    const { execute } = openSandbox([async () => first.ours, async () => second.ours]);
    const ended = execute(JOB, 10_000);
    await vi.advanceTimersByTimeAsync(0);
    first.stream.destroy();
    expect(await ended).toMatchObject({ status: 'crashed', reset: { reason: 'sandbox_lost' } });
  });
});

describe('a call whose connection breaks', () => {
  /** It runs in the first runner, which is gone, and is to have ended after a second. */
  async function callWith(next: () => Promise<Duplex>, more: Partial<Engine> = {}) {
    const first = runnerThat(newRunner);
    const cancel = new AbortController();
    const opened = openSandbox([async () => first.ours, next], more);
    const ended = opened.execute({ code: '' }, 1000, cancel.signal);
    await vi.advanceTimersByTimeAsync(0);
    first.stream.destroy();
    await vi.advanceTimersByTimeAsync(0);
    return { ...opened, ended, cancel };
  }

  test('gains ten seconds by keeping the next runner from starting', async () => {
    const { ended, cleared } = await callWith(async () => duplexPair()[0]);
    await vi.advanceTimersByTimeAsync(1999);
    expect(cleared).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(await ended).toEqual({ status: 'crashed', exitCode: null, reset: LOSS });
    expect(cleared).toEqual(['one']);
  });

  test('cannot be cancelled while the next runner does not start', async () => {
    const { ended, cancel } = await callWith(async () => duplexPair()[0]);
    cancel.abort();
    await vi.advanceTimersByTimeAsync(1000);
    expect(await ended).toMatchObject({ status: 'cancelled', reset: LOSS });
  });

  test('lasts as long as the engine hangs', async () => {
    const { sandbox, ended, cleared } = await callWith(never, { info: never });
    const refused = ended.catch((error: GloveboxError) => error.code);
    await vi.advanceTimersByTimeAsync(5000);
    expect(await refused).toBe('engine_unavailable');
    expect([sandbox.lost, cleared]).toEqual([false, []]);
  });

  test('leaves an attempt behind that kills what the session runs next', async () => {
    const late = Promise.withResolvers<Duplex>();
    const { sandbox, ended, cleared } = await callWith(() => late.promise);
    await vi.advanceTimersByTimeAsync(2000);
    await ended;
    const stream = duplexPair()[0];
    late.resolve(stream);
    await vi.advanceTimersByTimeAsync(0);
    expect(stream.destroyed).toBe(true);
    expect([sandbox.lost, cleared]).toEqual([false, ['one']]);
  });
});

describe('a sandbox whose machine is cut off', () => {
  const away = new SandboxUnreachable('The node does not answer.', { hint: 'Wait.' });
  const cutOff: Partial<Engine> = { endProcesses: () => Promise.reject(away) };

  test('was replaced when the time of a call in it was over', async () => {
    const { ours, stream, sent } = runnerThat(newRunner);
    const { sandbox, execute } = openSandbox([async () => ours], cutOff);
    const refused = execute({ code: '' }, 1000).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(1000 + 10_000);
    expect(await refused).toBe(away);
    expect([sandbox.lost, ours.destroyed]).toEqual([false, false]);
    // What ran is ended by its runner, which has been told to.
    expect(sent.at(-1)).toEqual({ type: FrameType.stop, stream: 1, text: 'k' });
    const ended = execute({ code: '' }, 1000);
    await vi.advanceTimersByTimeAsync(0);
    stream.write(end(2));
    expect(await ended).toMatchObject({ status: 'ok' });
  });

  test('was back, and lost all other calls to the kill of one whose time was over meanwhile', async () => {
    const { ours, stream, sent } = runnerThat(newRunner);
    const isBack = Promise.withResolvers<number>();
    const { execute, cleared } = openSandbox([async () => ours], { awaitMachine: () => isBack.promise });
    const other = execute({ code: '' }, 60_000);
    const late = execute({ code: '' }, 1000);
    await vi.advanceTimersByTimeAsync(1000 + 5000);
    isBack.resolve(3500);
    await vi.advanceTimersByTimeAsync(6999);
    expect([cleared, sent.at(-1)]).toEqual([[], { type: FrameType.stop, stream: 2, text: 'k' }]);
    stream.write(Buffer.concat([end(2), end(1)]));
    expect([await late, await other]).toMatchObject([{ status: 'timeout', termination: 'kill' }, { status: 'ok' }]);
    expect(cleared).toEqual([]);
  });

  test('ends all calls from outside if its runner does not answer either once it is back', async () => {
    const { ours } = runnerThat(newRunner);
    const { execute, cleared } = openSandbox([async () => ours], { awaitMachine: async () => 3500 });
    const late = execute({ code: '' }, 1000);
    await vi.advanceTimersByTimeAsync(1000 + 1500 + 6999);
    expect(cleared).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(await late).toMatchObject({ status: 'timeout', termination: 'uid_kill' });
    expect(cleared).toEqual(['one']);
  });

  test('that answers at once delays no kill from outside', async () => {
    const { ours } = runnerThat(newRunner);
    const { execute, cleared } = openSandbox([async () => ours], { awaitMachine: async () => 0 });
    const late = execute({ code: '' }, 1000);
    await vi.advanceTimersByTimeAsync(1000 + 1501);
    expect(cleared).toEqual(['one']);
    expect(await late).toMatchObject({ status: 'timeout', termination: 'uid_kill' });
  });

  test('is not cleared when the time of a call is over and it does not answer', async () => {
    const { ours } = runnerThat(newRunner);
    const { execute, cleared } = openSandbox([async () => ours], { awaitMachine: () => Promise.reject(away) });
    const refused = execute({ code: '' }, 1000).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(1000 + 1500);
    expect([await refused, cleared, ours.destroyed]).toEqual([away, [], false]);
  });

  test('ended all other calls when the time of one was over', async () => {
    const { ours, stream } = runnerThat(newRunner);
    const { execute } = openSandbox([async () => ours], cutOff);
    const other = execute({ code: '' }, 60_000);
    const refused = execute({ code: '' }, 1000).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(1000 + 10_000);
    expect(await refused).toBe(away);
    stream.write(Buffer.concat([end(2), end(1)]));
    expect(await other).toMatchObject({ status: 'ok' });
  });

  test('was replaced when the connection of a call broke, and could not be made again', async () => {
    const first = runnerThat(newRunner);
    const { sandbox, execute } = openSandbox(
      [
        async () => first.ours,
        ...[1, 2, 3].map(() => async () => {
          throw away;
        }),
      ],
      cutOff,
    );
    const refused = execute({ code: '' }, 60_000).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(0);
    first.stream.destroy();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await refused).toBe(away);
    expect(sandbox.lost).toBe(false);
  });

  test('lost what went on in it when a connection broke off before its runner had answered', async () => {
    const [first, third] = [runnerThat(newRunner), runnerThat(oldRunner)];
    const broken = Object.assign(duplexPair()[0], { whyNotReached: async () => away });
    const { sandbox, execute } = openSandbox([
      async () => first.ours,
      async () => {
        setImmediate(() => broken.destroy());
        return broken;
      },
      async () => third.ours,
    ]);
    const losses: unknown[] = [];
    sandbox.onLoss = (loss) => losses.push(loss);
    await vi.advanceTimersByTimeAsync(0);
    await sandbox.connect();
    first.stream.destroy();
    await vi.advanceTimersByTimeAsync(0);
    const refused = execute({ code: '' }, 1000).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(100);
    expect([await refused, losses, sandbox.lost]).toEqual([away, [], false]);
  });

  test('has what goes on in the background followed again once it is reached, within its time', async () => {
    const [first, second] = [runnerThat(newRunner), runnerThat(oldRunner)];
    const refuse = async () => {
      throw away;
    };
    const { execute } = openSandbox([async () => first.ours, refuse, refuse, refuse, async () => second.ours], cutOff);
    const ended = execute(JOB, 60_000);
    await vi.advanceTimersByTimeAsync(0);
    first.stream.destroy();
    await vi.advanceTimersByTimeAsync(10_000);
    second.stream.write(end(FIRST_KEPT));
    expect(await ended).toMatchObject({ status: 'ok', reattached: true });
  });

  test('is sent nothing, and counts as not connected, while that is known; what runs in it goes on', async () => {
    const { ours, stream, sent } = runnerThat(newRunner);
    let outage: Outage | undefined;
    const heartbeat = {
      everyMs: 1000,
      onSilent() {},
      get outage() {
        return outage;
      },
    };
    const connection: PieceStream = Object.assign(ours, { heartbeat });
    const { sandbox, execute } = openSandbox([async () => connection]);
    const running = execute({ code: '' }, 60_000);
    await vi.advanceTimersByTimeAsync(0);
    outage = { error: away, since: performance.now() };
    await expect(execute({ code: '' }, 1000)).rejects.toBe(away);
    expect([sandbox.connected, sandbox.lost, sent.length]).toEqual([false, false, 1]);
    outage = undefined;
    stream.write(end(1));
    expect(await running).toMatchObject({ status: 'ok' });
    expect(sandbox.connected).toBe(true);
  });
});

describe('a runner that another control plane has reached with a higher generation', () => {
  const refusal = json(FrameType.ready, 0, { protocol: PROTOCOL_VERSION, refused: 'generation', generation: 2 });

  /** A sandbox of that generation, whose second connection is refused, and what is done to it. */
  async function openRefused(generation: number | undefined, isConfirmed = async () => false) {
    const [first, second, third] = [runnerThat(newRunner), runnerThat(refusal), runnerThat(refusal)];
    const connections = [first, second, third].map(
      ({ ours }) =>
        async () =>
          ours,
    );
    const removed: string[] = [];
    const { sandbox, execute, cleared } = openSandbox(connections, {
      remove: async (ref) => void removed.push(ref),
    });
    sandbox.generation = generation;
    sandbox.hold = { require: () => {}, isConfirmed };
    await sandbox.connect();
    return { sandbox, execute, cleared, removed, first };
  }

  test('is left alone, and its calls say that the session has moved', async () => {
    const { sandbox, execute, cleared, removed, first } = await openRefused(1);
    const ended = expect(execute({ code: '' }, 10_000)).rejects.toMatchObject({ code: 'session_moved' });
    await vi.waitFor(() => expect(first.sent).toHaveLength(1));
    first.stream.destroy();
    await ended;
    await expect(execute({ code: '' }, 10_000)).rejects.toMatchObject({ code: 'session_moved' });
    await sandbox.remove();
    expect([...cleared, ...removed]).toEqual([]);
  });

  test.each([undefined, 2, 3])('is removed as one that lies, where generation %s was sent', async (generation) => {
    const { sandbox, removed, first } = await openRefused(generation);
    first.stream.destroy();
    await vi.advanceTimersByTimeAsync(0);
    await expect(sandbox.connect()).rejects.toMatchObject({ code: 'sandbox_lost' });
    expect(removed).toEqual(['one']);
  });
});

describe('a generation that code in the sandbox has made up', () => {
  const refusal = json(FrameType.ready, 0, { protocol: PROTOCOL_VERSION, refused: 'generation', generation: 99 });

  /** A sandbox whose connection is refused as often as it is made, and what the record says of its hold. */
  function openClaimed(isConfirmed: () => Promise<boolean>) {
    const removed: string[] = [];
    const connect = async () => runnerThat(refusal).ours;
    const { sandbox } = openSandbox([connect, connect, connect], { remove: async (ref) => void removed.push(ref) });
    sandbox.generation = 1;
    sandbox.hold = { require: () => {}, isConfirmed };
    return { sandbox, removed };
  }

  test('made its session answer that it had moved, for ever', async () => {
    const { sandbox, removed } = openClaimed(async () => true);
    await expect(sandbox.connect()).rejects.toMatchObject({ code: 'sandbox_lost' });
    expect([sandbox.lost, removed]).toEqual([true, ['one']]);
  });

  test('is told from a true one once the record can be read', async () => {
    const answers = [unavailable];
    const { sandbox, removed } = openClaimed(() => (answers.shift() ?? (async () => true))());
    await expect(sandbox.connect()).rejects.toMatchObject({ code: 'engine_unavailable' });
    expect([sandbox.lost, removed]).toEqual([false, []]);
    await expect(sandbox.connect()).rejects.toMatchObject({ code: 'sandbox_lost' });
    expect(removed).toEqual(['one']);
  });
});

describe('a loss of the runner that no call was told of', () => {
  /** A sandbox whose first runner is gone, and whose second one runs something. */
  async function loseRunner(request: ExecutionRequest) {
    const [first, second] = [runnerThat(newRunner), runnerThat(newRunner)];
    const spoilt = runnerThat(newRunner);
    const { sandbox, execute } = openSandbox(
      [async () => first.ours, async () => spoilt.ours, async () => second.ours, unavailable],
      { info: unavailable },
    );
    const losses: SandboxReset[] = [];
    await sandbox.connect();
    sandbox.onLoss = (loss) => losses.push(loss);
    first.stream.destroy();
    await vi.advanceTimersByTimeAsync(0);
    const ended = execute(request, 10_000);
    await vi.waitFor(() => expect(second.sent).toHaveLength(1));
    return { losses, second, ended };
  }

  test('is swallowed by a checkpoint', async () => {
    const { losses, second, ended } = await loseRunner({ kind: 'archive' });
    second.stream.write(end(1));
    expect(await ended).toMatchObject({ status: 'ok' });
    expect(losses).toEqual([LOSS]);
  });

  test('is swallowed by a call that the engine cannot run to its end', async () => {
    const { losses, second, ended } = await loseRunner({ code: '' });
    second.stream.destroy();
    await expect(ended).rejects.toMatchObject({ code: 'engine_unavailable' });
    expect(losses).toEqual([LOSS]);
  });
});

test('a runner of an earlier version, which passes no arguments on, is not asked to', async () => {
  const { ours, sent } = runnerThat(newRunner);
  const { execute } = openSandbox([async () => ours]);
  await expect(execute({ code: '', args: ['a'] }, 1000)).rejects.toMatchObject({ code: 'invalid_input' });
  expect(sent).toEqual([]);
});

test('a runner of an earlier version, which would take a command for code, is not given one', async () => {
  const { ours, sent } = runnerThat(newRunner);
  const { execute } = openSandbox([async () => ours]);
  await expect(execute({ kind: 'command', command: 'ls' }, 1000)).rejects.toMatchObject({ code: 'invalid_input' });
  expect(sent).toEqual([]);
});

test('an engine that takes long to remove a container held up the end of what ran in it', async () => {
  const { execute } = openSandbox([async () => runnerThat(newRunner).ours], {
    endProcesses: () => new Promise((done) => setTimeout(done, 5000, false)),
    remove: never,
  });
  const ended = execute({ code: '' }, 1000);
  await vi.advanceTimersByTimeAsync(1000 + 10_000);
  expect(await ended).toMatchObject({ status: 'timeout', termination: 'replaced' });
});

test('a killer from outside that met another was killed by it, and the container given up', async () => {
  const killing = Promise.withResolvers<boolean>();
  const started = vi.fn(() => killing.promise);
  const first = runnerThat(newRunner);
  const { sandbox, execute } = openSandbox(
    [async () => first.ours, () => Promise.reject(new GloveboxError('sandbox_lost', 'Killed.'))],
    { endProcesses: started },
  );
  const ended = execute({ code: '' }, 1000);
  await vi.advanceTimersByTimeAsync(0);
  first.stream.destroy();
  await vi.advanceTimersByTimeAsync(2000);
  killing.resolve(true);
  await vi.advanceTimersByTimeAsync(1000);
  expect(await ended).toMatchObject({ status: 'crashed', reset: LOSS });
  expect([started.mock.calls.length, sandbox.lost]).toEqual([1, false]);
});
