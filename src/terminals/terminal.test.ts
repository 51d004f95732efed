import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ExecutionEnd, ExecutionRequest } from '../execution/request.ts';
import { keepAsIs } from '../lib/reused-memory.ts';
import { SessionTerminals } from './session-terminals.ts';
import { type RunTerminal, SCROLLBACK_BYTES, type Terminal, type TerminalRequest } from './terminal.ts';
import type { ViewerMessage, ViewerSink } from './viewer.ts';

const SIZE = { rows: 24, cols: 80 };
const IDLE_S = 100;

/** A program in a sandbox, as a terminal sees it. */
interface Program {
  readonly request: ExecutionRequest;
  /** Prints. Resolves when it may go on; undefined if it may at once. */
  print(bytes: Buffer | string): Promise<void> | undefined;
  /** Reads what has been typed since it last did. */
  read(): Promise<Buffer>;
  end(end: Partial<ExecutionEnd>): Promise<void>;
  readonly signal: AbortSignal;
}

class Viewer implements ViewerSink {
  readonly messages: ViewerMessage[] = [];
  bytes = Buffer.alloc(0);
  /** Whether it takes nothing. */
  isSlow = false;
  #resume = (): void => {};

  readonly send = async (bytes: Buffer): Promise<void> => {
    this.bytes = Buffer.concat([this.bytes, bytes]);
    if (!this.isSlow) return;
    await new Promise<void>((resolve) => {
      this.#resume = resolve;
    });
  };
  readonly tell = (message: ViewerMessage): void => void this.messages.push(message);

  resume(): void {
    this.isSlow = false;
    this.#resume();
  }
}

const programs: Program[] = [];
let held = 0;
let changes = 0;

const run: RunTerminal = (request, { stdin, onOutput, onSent, signal }) => {
  const { promise, resolve } = Promise.withResolvers<ExecutionEnd>();
  const input = stdin[Symbol.asyncIterator]();
  programs.push({
    request,
    signal,
    print: (bytes) => onOutput('stdout', Buffer.from(bytes), keepAsIs) ?? undefined,
    read: async () => (await input.next()).value ?? Buffer.alloc(0),
    end: async (end) => {
      resolve({ status: 'ok', exitCode: 0, ...end });
      await settle();
    },
  });
  onSent();
  return promise;
};

const settle = async () => await vi.advanceTimersByTimeAsync(0);

function newTerminals(limit = 4): SessionTerminals {
  return new SessionTerminals({
    limits: { terminals: limit, terminalIdleS: IDLE_S, maxLifetimeS: 1000 },
    run,
    hold: () => {
      held += 1;
      return {
        [Symbol.dispose]: () => {
          held -= 1;
        },
      };
    },
    onChange: () => {
      changes += 1;
    },
  });
}

async function open(request: Partial<TerminalRequest> = {}): Promise<{ terminal: Terminal; program: Program }> {
  const terminal = await newTerminals().open({ ...SIZE, ...request });
  const program = programs.at(-1);
  if (!program) throw new Error('nothing runs');
  return { terminal, program };
}

beforeEach(() => {
  vi.useFakeTimers();
  programs.length = 0;
  held = 0;
  changes = 0;
});
afterEach(() => void vi.useRealTimers());

describe('a viewer of a terminal', () => {
  test('gets what was printed before, then what is printed, and then its end', async () => {
    const { terminal, program } = await open();
    void program.print('before ');
    const viewer = new Viewer();
    using _viewing = terminal.attach(viewer);
    void program.print('after');
    await settle();
    expect(viewer.bytes.toString()).toBe('before after');
    await program.end({ status: 'error', exitCode: 3 });
    expect(viewer.messages).toEqual([
      { type: 'attached', offset: 0, live: 7, ...SIZE },
      { type: 'ended', exit_code: 3, reason: 'exited' },
    ]);
    expect(terminal.end).toEqual({ exitCode: 3, reason: 'exited' });
  });

  test('that comes back gets what it missed, and no more', async () => {
    const { terminal, program } = await open();
    const first = new Viewer();
    const viewing = terminal.attach(first);
    void program.print('one');
    await settle();
    viewing[Symbol.dispose]();
    void program.print('two');
    const second = new Viewer();
    using _again = terminal.attach(second, 3);
    await settle();
    expect([first.bytes.toString(), second.bytes.toString()]).toEqual(['one', 'two']);
    const beyond = new Viewer();
    using _beyond = terminal.attach(beyond, 1_000_000);
    expect(beyond.messages).toEqual([{ type: 'attached', offset: 6, live: 6, ...SIZE }]);
  });

  test('that comes back too late is told how much is missing', async () => {
    const { terminal, program } = await open();
    for (let at = 0; at < 16; at += 1) void program.print(Buffer.alloc(SCROLLBACK_BYTES / 8, at));
    const viewer = new Viewer();
    using _viewing = terminal.attach(viewer, 10);
    await settle();
    expect(viewer.messages.slice(1)).toEqual([{ type: 'skipped', bytes: SCROLLBACK_BYTES - 10 }]);
    expect(viewer.bytes).toHaveLength(SCROLLBACK_BYTES);
  });

  test('that is slow does not hold up another, and skips what is gone when it goes on', async () => {
    const { terminal, program } = await open();
    const [slow, fast] = [new Viewer(), new Viewer()];
    slow.isSlow = true;
    using _slow = terminal.attach(slow);
    using _fast = terminal.attach(fast);
    const piece = Buffer.alloc(64 * 1024, 'x');
    for (let at = 0; at < 40; at += 1) {
      await program.print(piece);
      await settle();
    }
    expect(fast.bytes).toHaveLength(40 * piece.length);
    expect(slow.bytes).toHaveLength(piece.length);
    slow.resume();
    await settle();
    const skipped = slow.messages.flatMap((message) => (message.type === 'skipped' ? [message.bytes] : []));
    expect(skipped).toEqual([39 * piece.length - SCROLLBACK_BYTES]);
    expect(slow.bytes.length + (skipped[0] ?? 0)).toBe(40 * piece.length);
  });
});

describe('a program that prints without end', () => {
  const piece = Buffer.alloc(64 * 1024, 'y');

  test('waits for the fastest of those who look', async () => {
    const { terminal, program } = await open();
    const viewer = new Viewer();
    viewer.isSlow = true;
    using _viewing = terminal.attach(viewer);
    let waiting: Promise<void> | undefined;
    for (let at = 0; at < 10 && !waiting; at += 1) waiting = program.print(piece);
    expect(terminal.printed).toBeLessThanOrEqual(4 * piece.length);
    const went = vi.fn();
    void waiting?.then(went);
    await vi.advanceTimersByTimeAsync(1000);
    expect(went).not.toHaveBeenCalled();
    viewer.resume();
    await settle();
    expect(went).toHaveBeenCalled();
  });

  test('goes on slowly when nobody looks, or nobody takes anything', async () => {
    const { terminal, program } = await open();
    while (terminal.printed <= SCROLLBACK_BYTES) void program.print(piece);
    const went = vi.fn();
    void program.print(piece)?.then(went);
    await vi.advanceTimersByTimeAsync(100);
    expect(went).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(200);
    expect(went).toHaveBeenCalled();
    const stuck = new Viewer();
    stuck.isSlow = true;
    using _viewing = terminal.attach(stuck);
    await settle();
    for (let at = 0; at < 20; at += 1) void program.print(piece);
    const goes = vi.fn();
    void program.print(piece)?.then(goes);
    await vi.advanceTimersByTimeAsync(4000);
    expect(goes).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(2000);
    expect(goes).toHaveBeenCalled();
  });

  test('keeps no more than the scrollback', async () => {
    const { terminal, program } = await open();
    for (let at = 0; at < 100; at += 1) void program.print(piece);
    const viewer = new Viewer();
    using _viewing = terminal.attach(viewer);
    await settle();
    expect(viewer.bytes).toHaveLength(SCROLLBACK_BYTES);
  });
});

describe('the keys of a terminal', () => {
  test('reach its program in frames, in order with changes of the size, which all viewers learn', async () => {
    const { terminal, program } = await open({ command: ['vi', 'a'], cwd: '/tmp', env: { A: 'b' } });
    expect(program.request).toEqual({
      ...{ kind: 'terminal', ...SIZE, stdin_stream: true },
      ...{ command: ['vi', 'a'], cwd: '/tmp', env: { A: 'b' } },
    });
    const viewer = new Viewer();
    using _viewing = terminal.attach(viewer);
    void terminal.type(Buffer.from('ab'));
    terminal.resize({ rows: 50, cols: 300 });
    terminal.resize({ rows: 50, cols: 300 });
    void terminal.type(Buffer.from('c'));
    expect(await program.read()).toEqual(Buffer.from('0000000002616201003' + '2012c000000000163', 'hex'));
    expect(viewer.messages.slice(1)).toEqual([{ type: 'resized', rows: 50, cols: 300 }]);
  });

  test('have to wait when there are too many, until the program reads', async () => {
    const { terminal, program } = await open();
    const flood = Buffer.alloc(200 * 1024);
    expect(terminal.type(flood)).toBeUndefined();
    const full = terminal.type(flood);
    const went = vi.fn();
    void full?.then(went);
    await settle();
    expect(went).not.toHaveBeenCalled();
    await program.read();
    await settle();
    expect(went).toHaveBeenCalled();
  });
});

describe('a terminal', () => {
  test('holds its session while somebody looks, as long as something is typed or printed', async () => {
    const { terminal, program } = await open();
    expect(held).toBe(0);
    const viewing = terminal.attach(new Viewer());
    expect(held).toBe(1);
    await vi.advanceTimersByTimeAsync(IDLE_S * 1000 + 1);
    expect(held).toBe(0);
    void program.print('x');
    expect(held).toBe(1);
    viewing[Symbol.dispose]();
    expect(held).toBe(0);
    void program.print('x');
    expect(held).toBe(0);
    expect(terminal.end).toBeUndefined();
  });

  test('is ended when nobody has looked at it for long', async () => {
    const { terminal, program } = await open();
    await vi.advanceTimersByTimeAsync(IDLE_S * 1000 + 1);
    expect(program.signal.aborted).toBe(true);
    await program.end({ status: 'cancelled', exitCode: null });
    expect(terminal.end).toEqual({ exitCode: null, reason: 'idle' });
  });

  test.each([
    [{ status: 'timeout', exitCode: null }, 'session_over'],
    [{ status: 'out_of_memory', exitCode: null }, 'out_of_memory'],
    [{ status: 'crashed', exitCode: null }, 'crashed'],
    [{ status: 'crashed', exitCode: null, reset: { reason: 'runner_lost', lost: [] } }, 'runner_lost'],
    [{ status: 'crashed', exitCode: null, reset: { reason: 'sandbox_lost', lost: [] } }, 'sandbox_lost'],
  ] as const)('that ends with %j says so to those who come later, too', async (end, reason) => {
    const { terminal, program } = await open();
    void program.print('last words');
    await program.end(end);
    const viewer = new Viewer();
    using _viewing = terminal.attach(viewer);
    await settle();
    expect(viewer.bytes.toString()).toBe('last words');
    expect(viewer.messages.at(-1)).toEqual({ type: 'ended', exit_code: null, reason });
  });
});

describe('the terminals of a session', () => {
  test('are limited, and those that have ended do not count but are known for a while', async () => {
    const terminals = newTerminals(2);
    await terminals.open(SIZE);
    await terminals.open(SIZE);
    await expect(terminals.open(SIZE)).rejects.toMatchObject({ code: 'session_busy' });
    await programs[0]?.end({});
    await terminals.open(SIZE);
    expect(terminals.list()).toHaveLength(3);
    for (let at = 2; at < 12; at += 1) {
      await programs[at]?.end({});
      await terminals.open(SIZE);
    }
    expect(terminals.list().length).toBeLessThanOrEqual(6);
    expect(terminals.live).toHaveLength(2);
    await expect(newTerminals(0).open(SIZE)).rejects.toThrow('no terminals');
  });

  test('are lost with their sandbox, and their viewers learn why', async () => {
    const terminals = newTerminals();
    const terminal = await terminals.open(SIZE);
    const viewer = new Viewer();
    using _viewing = terminal.attach(viewer);
    expect(terminals.loseAll('hibernated')).toBe(true);
    expect(terminals.loseAll('hibernated')).toBe(false);
    expect(viewer.messages.at(-1)).toEqual({ type: 'ended', exit_code: null, reason: 'hibernated' });
    expect([terminals.live, held]).toEqual([[], 0]);
    expect(changes).toBeGreaterThan(0);
  });

  test.each(['hibernated', 'sandbox_lost', 'runner_lost', 'server_stopped'] as const)(
    'that are lost (%s) are a loss until a caller was told, also of the next control plane',
    async (reason) => {
      const terminals = newTerminals();
      const { id } = await terminals.open(SIZE);
      expect([terminals.loss, terminals.recorded]).toEqual([undefined, [id]]);
      terminals.loseAll(reason);
      const loss = { reason, lost: ['terminals'] };
      expect([terminals.loss, terminals.recorded]).toEqual([loss, [id]]);
      const before = changes;
      terminals.told();
      expect([terminals.loss, terminals.recorded, changes - before]).toEqual([undefined, [], 1]);
      const next = newTerminals();
      next.recover([id]);
      expect([next.loss, next.recorded]).toEqual([{ ...loss, reason: 'server_stopped' }, [id]]);
    },
  );

  test('that end as somebody wanted, or by themselves, are no loss', async () => {
    const terminals = newTerminals();
    await terminals.open(SIZE);
    await programs.at(-1)?.end({});
    const closed = await terminals.open(SIZE);
    closed.close('closed');
    await programs.at(-1)?.end({ status: 'cancelled', exitCode: null });
    await terminals.open(SIZE);
    terminals.loseAll('session_closed');
    expect([terminals.live, terminals.loss, terminals.recorded]).toEqual([[], undefined, []]);
  });

  test('of an earlier control plane are told of as lost', () => {
    const terminals = newTerminals();
    terminals.recover(['trm_old']);
    expect(terminals.list()).toEqual([
      { id: 'trm_old', startedAt: undefined, end: { exitCode: null, reason: 'server_stopped' } },
    ]);
    expect(() => terminals.get('trm_old')).toThrow('was lost when the server stopped');
    expect(() => terminals.get('trm_none')).toThrow('no terminal');
  });

  test.each([
    { rows: 0, cols: 80 },
    { rows: 24, cols: 100_000 },
    { rows: 1.5, cols: 80 },
    { ...SIZE, command: '' },
    { ...SIZE, command: [] },
    { ...SIZE, command: ['a\0b'] },
    { ...SIZE, cwd: 'x'.repeat(5000) },
  ])('refuse %j', async (request) => {
    await expect(newTerminals().open(request)).rejects.toMatchObject({ code: 'invalid_input' });
    expect(programs).toEqual([]);
  });
});
