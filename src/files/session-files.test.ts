import { buffer } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import type { ExecutionEnd, ExecutionOptions, ExecutionRequest } from '../execution/request.ts';
import { keepAsIs } from '../lib/reused-memory.ts';
import { outcomeOf } from '../scheduling/execution-metrics.ts';
import { SessionFiles } from './session-files.ts';

type Say = (text: string | Buffer) => Promise<void>;
/** Ends as it says, or well. */
type Program = (say: Say, asked: { request: ExecutionRequest; options: ExecutionOptions }) => Promise<unknown>;

/** Files over a sandbox that says whatever a test wants of it, as hostile code could. */
function filesOf(program: Program, signal = new AbortController().signal): SessionFiles {
  return new SessionFiles(
    {
      execute: async (request, options) => {
        const aborted = new Promise<Partial<ExecutionEnd>>((resolve) =>
          options.signal.addEventListener('abort', () => resolve({ status: 'cancelled', exitCode: null })),
        );
        const say: Say = async (text) => await options.onOutput('stdout', Buffer.from(text), keepAsIs);
        const end = await Promise.race([program(say, { request, options }), aborted]);
        return { status: 'ok', exitCode: 0, ...(end as Partial<ExecutionEnd> | undefined) };
      },
    },
    signal,
  );
}

const line = (value: object) => `${JSON.stringify(value)}\n`;
const entry = { path: 'a', type: 'file', size: 4, modified_ms: 0 };
const forever = new Promise<void>(() => {});

describe('what a sandbox says of a file', () => {
  test('is taken as it comes, however it is cut', async () => {
    const files = filesOf(async (say) => {
      for (const char of line({ ok: true, entry, offset: 0, length: 4 })) await say(char);
      await say('da');
      await say('ta');
    });
    const file = await files.open('a');
    expect(file).toMatchObject({ entry: { path: 'a', size: 4, modified: new Date(0) }, length: 4 });
    expect((await buffer(file.bytes)).toString()).toBe('data');
  });

  test.each<[string, Program]>([
    ['nothing', async () => {}],
    ['no JSON', async (say) => await say('hello\n')],
    ['an answer to something else', async (say) => await say(line({ ok: true }))],
    ['a size that is none', async (say) => await say(line({ ok: true, entry: { ...entry, size: -1 } }))],
    ['a time that is none', async (say) => await say(line({ ok: true, entry: { ...entry, modified_ms: 1e300 } }))],
    [
      'a line without end',
      async (say) => {
        for (let sent = 0; sent < 100; sent += 1) await say(Buffer.alloc(65_536, 'x'));
        await forever;
      },
    ],
    ['an error that it made up', async (say) => await say(line({ error: { code: 'constructor', message: 'x' } }))],
    ['that it crashed', async () => ({ status: 'crashed', exitCode: null })],
  ])('is refused when it is %s', async (_what, program) => {
    await expect(filesOf(program).stat('a')).rejects.toMatchObject({ code: 'sandbox_lost' });
  });

  test.each([
    ['file_not_found', 'file_not_found'],
    ['invalid_input', 'invalid_input'],
    ['is_folder', 'invalid_input'],
    ['not_empty', 'invalid_input'],
    ['precondition_failed', 'precondition_failed'],
    ['file_exists', 'file_exists'],
    ['disk_full', 'disk_full'],
    ['too_large', 'payload_too_large'],
  ])('that is a refusal (%s) is one (%s)', async (code, expected) => {
    const files = filesOf(async (say) => await say(line({ error: { code, message: 'Why.' } })));
    await expect(files.stat('a')).rejects.toMatchObject({ code: expected, message: 'Why.' });
  });

  test('is all there before it is known whether it could be read to the end', async () => {
    const files = filesOf(async (say) => {
      await say(line({ ok: true, entry, offset: 0, length: 4 }));
      await say('data');
      return { status: 'crashed', exitCode: null };
    });
    const { bytes } = await files.open('a');
    await expect(bytes[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'sandbox_lost' });
  });

  test.each([
    ['more', 'data!'],
    ['less', 'dat'],
  ])('of %s bytes than announced does not pass for all of it', async (_what, bytes) => {
    const files = filesOf(async (say) => {
      await say(line({ ok: true, entry, offset: 0, length: 4 }));
      await say(bytes);
    });
    const file = await files.open('a');
    await expect(buffer(file.bytes)).rejects.toMatchObject({ code: 'sandbox_lost' });
  });

  test('is not held when there is too much of it to read at once', async () => {
    let ended: AbortSignal | undefined;
    const files = filesOf(async (say, { options }) => {
      ended = options.signal;
      await say(line({ ok: true, entry: { ...entry, size: 2 ** 40 }, offset: 0, length: 2 ** 40 }));
      await forever;
    });
    await expect(files.read('a', {}, 1000)).rejects.toMatchObject({ code: 'payload_too_large' });
    expect(outcomeOf({ status: 'cancelled', exitCode: null }, ended ?? AbortSignal.abort())).toBe('error');
  });

  test('waits until it is taken, and ends when nobody wants more', async () => {
    let said = 0;
    let ended: AbortSignal | undefined;
    const files = filesOf(async (say, { options }) => {
      ended = options.signal;
      await say(line({ ok: true, entry, offset: 0, length: 1_000_000 }));
      for (; said < 100; said += 1) await say('x');
    });
    const file = await files.open('a');
    for await (const _ of file.bytes) break;
    expect(said).toBeLessThan(3);
    await file.close();
    expect(ended?.aborted).toBe(true);
  });
});

describe('what is sent', () => {
  const received: Program = async (say, { options }) => {
    const chunks: Buffer[] = [];
    for await (const chunk of options.stdin ?? []) chunks.push(...[chunk].flat());
    await say(line({ ok: true, size: Buffer.concat(chunks).length, created: true }));
  };

  test('has an end that says that it is all', async () => {
    const sent: Buffer[] = [];
    const files = filesOf(async (say, { request, options }) => {
      expect(request).toMatchObject({ kind: 'files', stdin_stream: true, file: { op: 'write', path: 'a' } });
      for await (const chunk of options.stdin ?? []) sent.push(...[chunk].flat());
      await say(line({ ok: true, size: 5, created: true }));
    });
    await files.write('a', pieces('one', '', 'tw'));
    expect(Buffer.concat(sent)).toEqual(Buffer.from('\0\0\0\u0003one\0\0\0\u0002tw\0\0\0\0', 'latin1'));
  });

  test.each([
    ['a text', 'añ'],
    ['bytes', new Uint8Array([0x61, 0xc3, 0xb1])],
  ])('may be %s as a whole, whose length is told', async (_what, content) => {
    const sent: Buffer[] = [];
    const files = filesOf(async (say, { request, options }) => {
      expect(request.file).toMatchObject({ op: 'write', size: 3 });
      for await (const chunk of options.stdin ?? []) sent.push(...[chunk].flat());
      await say(line({ ok: true, size: 3, created: true }));
    });
    await files.write('a', content);
    expect(Buffer.concat(sent)).toEqual(Buffer.from('\0\0\0\u0003a\u00c3\u00b1\0\0\0\0', 'latin1'));
  });

  test('has no such end when it breaks off, and the reason is told', async () => {
    async function* broken() {
      yield Buffer.from('one');
      throw new Error('gone');
    }
    const sent: Buffer[] = [];
    const files = filesOf(async (_say, { options }) => {
      try {
        for await (const chunk of options.stdin ?? []) sent.push(...[chunk].flat());
      } catch {
        return { status: 'cancelled', exitCode: null };
      }
      return {};
    });
    await expect(files.write('a', broken())).rejects.toThrow('gone');
    expect(Buffer.concat(sent).subarray(-4)).not.toEqual(Buffer.alloc(4));
  });

  test('is not taken any more after a refusal', async () => {
    let taken = 0;
    async function* endless() {
      for (;;) {
        taken += 1;
        yield Buffer.alloc(1000);
      }
    }
    const files = filesOf(async (say, { options }) => {
      const input = options.stdin?.[Symbol.asyncIterator]();
      await input?.next();
      await say(line({ error: { code: 'disk_full', message: 'Full.' } }));
      for (let next = await input?.next(); next && !next.done; next = await input?.next());
    });
    await expect(files.write('a', endless())).rejects.toMatchObject({ code: 'disk_full' });
    expect(taken).toBeLessThan(5);
  });

  test('of a tar is what is in it, and never what it may not hold', async () => {
    await expect(filesOf(received).unpack('a', pieces('x'.repeat(600)), 1000)).rejects.toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining('not a tar'),
    });
  });
});

describe('a folder that a sandbox packs', () => {
  const folder = (...said: (object | string)[]) =>
    filesOf(async (say) => {
      await say(line({ ok: true, entries: 1, size: 1, skipped: 0 }));
      for (const piece of said) await say(typeof piece === 'string' ? piece : line(piece));
    }).pack('', 1000);
  const file = { ...entry, mode: 0o644 };

  test('is a tar of what it sends', async () => {
    const { bytes } = await folder(file, 'data', { end: true });
    const tar = await buffer(bytes);
    expect(tar.length).toBe(512 + 512 + 1024);
    expect(tar.toString('latin1', 512, 516)).toBe('data');
  });

  test.each<[string, (object | string)[]]>([
    ['leads out', [{ ...file, path: '../a' }, 'data', { end: true }]],
    ['leads out by a link', [{ ...file, type: 'link', size: 0, target: '/etc' }, { end: true }]],
    ['is larger than announced', [{ ...file, size: 5000 }, 'x'.repeat(5000), { end: true }]],
    ['breaks off within a file', [file, 'da']],
    ['breaks off between files', [file, 'data']],
    ['goes on after its end', [{ end: true }, 'more']],
    ['is nonsense', ['nonsense\n']],
  ])('is not taken to its end when it %s', async (_what, said) => {
    const { bytes } = await folder(...said);
    await expect(buffer(bytes)).rejects.toThrow();
  });
});

async function* pieces(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text);
}
