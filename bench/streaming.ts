import { pairRows, pairSubjects } from './against/pair.ts';
import { post } from './doors.ts';
import { interleave, median, type Samples, type Subject } from './measure.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const MEGABYTES = 200;
const BYTES = MEGABYTES * 1_000_000;
const CODE = `import sys
lines = (b'x' * 99 + b'\\n') * 10_000
for _ in range(${MEGABYTES}):
    sys.stdout.buffer.write(lines)
`;
const ARGUMENTS = { code: CODE, session_id: 'bench-rest', timeout_s: 120 };
const RAW = `${MEGABYTES} MB of stdout: engine's exec`;
const FOLDED = `${MEGABYTES} MB of stdout: folded into a result`;
const STREAMED = `${MEGABYTES} MB of stdout: as server-sent events`;

/** How fast the output of one execution comes through, against the engine's own stream. */
export async function measureStreaming(setting: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const { floors, builds, signal, quick } = setting;
  const container = await floors.createAndStart();
  stack.defer(() => container.remove({ force: true }));
  const raw = async () => {
    let bytes = 0;
    await floors.execPython(container, CODE, (chunk) => {
      bytes += chunk.length;
    });
    assertWhole(bytes);
  };
  const subjects: Subject[] = [
    { name: RAW, run: raw },
    ...(await pairSubjects(builds, ({ server: { url } }) => [
      { name: FOLDED, run: () => fold(url) },
      { name: STREAMED, run: () => stream(url) },
    ])),
  ];
  return pairRows(await interleave(subjects, { rounds: quick ? 2 : 4, warmUp: quick ? 0 : 1, signal }), toRows);
}

async function fold(url: string): Promise<void> {
  const { status, stdout, truncated } = (await post(url, ARGUMENTS)) as Folded;
  if (status !== 'ok') throw new Error(`An execution that prints much ended as ${status}.`);
  assertWhole(stdout.length + (truncated?.stdout?.bytes ?? 0));
}

interface Folded {
  status: string;
  stdout: string;
  truncated?: { stdout?: { bytes: number } };
}

/** Reads as fast as it can and understands only the end, for the reader is not what is measured. */
async function stream(url: string): Promise<void> {
  const response = await fetch(`${url}/execute/stream`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: 'execute_python', arguments: ARGUMENTS }),
  });
  let bytes = 0;
  let tail = '';
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    tail = (tail + Buffer.from(chunk).toString('latin1')).slice(-200_000);
  }
  if (!tail.includes('event: result')) throw new Error('A stream ended without a result.');
  assertWhole(bytes);
}

function assertWhole(bytes: number): void {
  if (bytes < BYTES) throw new Error(`Output was lost: of ${BYTES} bytes ${bytes} came.`);
}

function toRows(samples: Samples): Row[] {
  const rates = (name: string) => (samples[name] ?? []).map((ms) => MEGABYTES / (ms / 1000));
  const floor = { floor: "engine's exec", of: median(rates(RAW)) };
  return [
    toRow(RAW, 'MB/s', rates(RAW)),
    toRow(FOLDED, 'MB/s', rates(FOLDED), [floor]),
    toRow(STREAMED, 'MB/s', rates(STREAMED), [floor]),
  ];
}
