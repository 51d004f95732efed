import { ExportResultCode } from '@opentelemetry/core';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { expect, it, vi } from 'vitest';
import { PIECE_SPANS, PiecewiseExporter } from './piecewise-exporter.ts';

/** So many spans; what is written of each is one byte. */
const spans = (count: number) => Array.from({ length: count }, () => ({}) as ReadableSpan);

function open({ delayMs = 3_600_000 } = {}) {
  const sent: number[] = [];
  let answer = Promise.resolve();
  const exporter = new PiecewiseExporter({
    serialize: (some) => new Uint8Array(some.length),
    send: async (report) => {
      sent.push(report.length);
      await answer;
    },
    delayMs,
  });
  const give = (count: number) => {
    let code: ExportResultCode | undefined;
    exporter.export(spans(count), (result) => {
      code = result.code;
    });
    return code;
  };
  const answerWith = (promise: Promise<void>) => {
    answer = promise;
  };
  return { sent, exporter, give, answerWith };
}

it('sends 512 spans at once that were written 32 at a time', () => {
  const { sent, give } = open();
  for (let count = 0; count < 15; count += 1) give(PIECE_SPANS);
  expect(sent).toEqual([]);
  give(PIECE_SPANS);
  expect(sent).toEqual([512]);
});

it('sends at once what has waited for its piece to be full', () => {
  const { sent, give } = open();
  give(PIECE_SPANS);
  give(3);
  expect(sent).toEqual([PIECE_SPANS + 3]);
});

it('spans that fill their pieces waited for others without end', async () => {
  const { sent, give } = open({ delayMs: 1 });
  give(PIECE_SPANS);
  await vi.waitFor(() => expect(sent).toEqual([PIECE_SPANS]));
});

it('holds 2048 spans while a report is on its way, and sends them together after it, also one that is lost', async () => {
  const { sent, give, exporter, answerWith } = open();
  const { promise, reject } = Promise.withResolvers<void>();
  answerWith(promise);
  give(1);
  for (let count = 0; count < 64; count += 1) expect(give(PIECE_SPANS)).toBe(ExportResultCode.SUCCESS);
  expect(give(PIECE_SPANS)).toBe(ExportResultCode.FAILED);
  expect(sent).toEqual([1]);
  answerWith(Promise.resolve());
  reject(new Error('refused'));
  await exporter.shutdown();
  expect(sent).toEqual([1, 2048]);
});
