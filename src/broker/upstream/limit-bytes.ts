import { ReadableStream } from 'node:stream/web';

export interface BodyWatch {
  /** Counts bytes. False when they are too many. */
  readonly take: (chunk: Uint8Array) => boolean;
  /** Called once when they are. */
  readonly exceed: () => void;
  /** Called when the body ends, or breaks off, before it is too large. */
  readonly end?: () => void;
}

/** Passes a body on until it is too large. The rest is not read: the connection to its sender closes. */
export function limitBytes(body: ReadableStream<Uint8Array>, watch: BodyWatch): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const read = async () => {
    try {
      return await reader.read();
    } catch (error) {
      watch.end?.();
      throw error;
    }
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await read();
      if (done) {
        watch.end?.();
        return controller.close();
      }
      if (watch.take(value)) return controller.enqueue(value);
      watch.exceed();
      const error = new Error('The answer is too large.');
      controller.error(error);
      await reader.cancel(error).catch(() => {});
    },
    cancel: (reason) => reader.cancel(reason),
  });
}
