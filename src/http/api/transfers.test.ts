import { describe, expect, test } from 'vitest';
import { RequestBody } from '../body.ts';
import { toBody } from './file-download.ts';

const upload = (pull: (controller: ReadableStreamDefaultController<Uint8Array>) => void | Promise<void>) => {
  const body = new ReadableStream<Uint8Array>({ pull });
  return new Request('http://x/', { method: 'PUT', body, duplex: 'half' } as RequestInit);
};

describe('an upload', () => {
  test('that moves no byte for its time ends with 408', async () => {
    const body = new RequestBody(
      upload(() => new Promise(() => {})),
      20,
    );
    await expect(body.chunks(10).next()).rejects.toMatchObject({ code: 'request_timeout', status: 408 });
  });

  test('that moves a byte now and then goes on, and what takes it may be as slow as it likes', async () => {
    let left = 6;
    const request = upload(async (controller) => {
      await new Promise((resolve) => setTimeout(resolve, 25));
      left -= 1;
      if (left === 0) controller.close();
      else controller.enqueue(new Uint8Array(1));
    });
    let size = 0;
    for await (const chunk of new RequestBody(request, 100).chunks(10)) {
      size += chunk.length;
      if (size === 1) await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(size).toBe(5);
  });
});

describe('a download', () => {
  async function* endless(): AsyncGenerator<Buffer> {
    for (;;) yield Buffer.alloc(10);
  }

  test('that nobody takes for its time is cut off, and lets go of what it holds', async () => {
    const closed = Promise.withResolvers<unknown>();
    const released = Promise.withResolvers<void>();
    const file = { bytes: endless(), close: async (failure?: unknown) => closed.resolve(failure) };
    const reader = toBody(file, released.resolve, 20).getReader();
    expect((await reader.read()).value).toHaveLength(10);
    expect(await closed.promise).toMatchObject({ code: 'request_timeout' });
    await released.promise;
    await expect(reader.read().then(() => reader.read())).rejects.toMatchObject({ code: 'request_timeout' });
  });
});
