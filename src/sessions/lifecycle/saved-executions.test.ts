import { describe, expect, it } from 'vitest';
import { RESULT } from '../../../test/support/result.ts';
import { savedSessionSchema } from '../../state/state.ts';
import type { BackgroundRecord } from '../background-records.ts';
import { toRecordedResult } from '../recorded-result.ts';
import { fromSaved, toSaved } from './saved-executions.ts';

const AT = '2026-01-01T00:00:00.000Z';
const record = (id: string, more: Partial<BackgroundRecord> = {}): BackgroundRecord => ({
  ...{ id, started_at: AT, timeout_s: 60, ...more },
});

/** What another control plane reads of it. */
function told(records: readonly BackgroundRecord[]): BackgroundRecord[] {
  const saved = savedSessionSchema.parse(
    JSON.parse(JSON.stringify({ last_used_at: AT, background: toSaved(records) })),
  );
  return (saved.background ?? []).map(fromSaved);
}

describe('what another control plane is told of an execution in the background', () => {
  it('is its access to tools and hosts while it runs', () => {
    const access = {
      tools: { hash: 'h', servers: { notes: 3 } },
      web: { hash: 'w', patterns: ['a.example'], bytes_in: 1, bytes_out: 2 },
    };
    expect(told([record('a', { code: 'x'.repeat(500), ...access })])).toEqual([
      record('a', { code: 'x'.repeat(100), ...access }),
    ]);
  });

  it('is its result once it has ended, without what may be long', () => {
    const result = toRecordedResult({ ...RESULT, stdout: `${'a'.repeat(600)}${'b'.repeat(600)}` });
    const short = record('short', { result: toRecordedResult({ ...RESULT, stdout: 'fine' }) });
    const [long, brief] = told([record('long', { result }), short]);
    expect(long?.result).toMatchObject({
      ...{ status: RESULT.status, stdout: `${'a'.repeat(500)}\n… 200 bytes left out …\n${'b'.repeat(500)}` },
      truncated: { stdout: { bytes: 200, total_bytes: 1200 } },
    });
    expect(brief).toMatchObject({ summary: true, result: { stdout: 'fine' } });
    // A second control plane tells a third one the same.
    expect(told([long ?? short])).toEqual([long]);
  });

  it('is the reason why it could not run', () => {
    const error = { code: 'engine_unavailable', message: 'No.', hint: 'Wait.' } as const;
    expect(told([record('a', { error })])).toEqual([record('a', { error })]);
  });

  it('is bounded for all of them: the newest keep theirs', () => {
    const result = toRecordedResult({ ...RESULT, stdout: 'x'.repeat(1000) });
    const ended = Array.from({ length: 50 }, (_, at) => record(`e${at}`, { result }));
    const tools = {
      hash: 'h'.repeat(43),
      servers: Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`s${at}`.repeat(20), 1])),
    };
    const running = Array.from({ length: 32 }, (_, at) => record(`r${at}`, { tools }));
    const all = [...ended, ...running];
    expect(JSON.stringify(toSaved(all)).length).toBeLessThan(40_000);
    const read = told(all);
    expect(read.map(({ id }) => id)).toEqual(all.map(({ id }) => id));
    expect([read[0]?.result, read[50]?.tools]).toEqual([undefined, undefined]);
    expect([read[49]?.result?.stdout, read.at(-1)?.tools]).toEqual(['x'.repeat(1000), tools]);
  });

  it('leaves out a result that a newer version has written in another way', () => {
    expect(fromSaved({ id: 'a', started_at: AT, timeout_s: 1, result: { verdict: 'good' } })).toEqual(
      record('a', { timeout_s: 1 }),
    );
  });
});
