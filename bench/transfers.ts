import { randomBytes } from 'node:crypto';
import type { Build } from './against/build.ts';
import { joinRows, pairRows, pairSubjects } from './against/pair.ts';
import { closeSession } from './doors.ts';
import { runCopies } from './floor-programs.ts';
import { interleave, median, type Samples, type Subject } from './measure.ts';
import { readProcesses, treeTime } from './processor.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const MEGABYTES = 100;
const BYTES = MEGABYTES * 1_000_000;
const SESSION = 'transfers';
const NAMES = {
  in: `${MEGABYTES} MB through one exec of the engine: in`,
  out: `${MEGABYTES} MB through one exec of the engine: out`,
  upload: `${MEGABYTES} MB file: upload`,
  download: `${MEGABYTES} MB file: download`,
};
/** Of the other build's processor time for each MB. */
const TARGET = 0.5;
const COPY = `${MEGABYTES} MB file: cp into the same tmpfs`;

/** One build's session with a file. */
interface Files {
  readonly subjects: readonly Subject[];
  /** Milliseconds of the server's processor time for each MB, by subject; the rounds to warm up among them. */
  readonly processor: Samples;
}

/** Bytes into a sandbox and out of it, against the engine's stream with nothing of ours, and a copy within. */
export async function measureTransfers({ builds, floors, quick, signal }: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const container = await floors.createAndStart();
  stack.defer(() => container.remove({ force: true }));
  const plan = { rounds: quick ? 4 : 8, warmUp: 1, signal };
  const copies = await runCopies(floors, container, MEGABYTES, plan.rounds);
  // Random, so that nothing on the way has less to do than for any other file.
  const body = randomBytes(BYTES);
  const files: Files[] = [];
  for (const build of builds) files.push(await openFiles(build, body));
  const subjects: Subject[] = [
    { name: NAMES.in, run: () => floors.execIn(container, body) },
    { name: NAMES.out, run: () => floors.execOut(container, BYTES) },
    ...(await pairSubjects(files, (own) => own.subjects)),
  ];
  const samples = await interleave(subjects, plan);
  for (const { server } of builds) await closeSession(server.url, SESSION);
  const processorRows = files.map(({ processor }) => toProcessorRows(processor, plan.warmUp));
  return [toRow(COPY, 'MB/s', copies), ...pairRows(samples, toRows), ...joinRows(processorRows)];
}

async function openFiles({ server }: Build, body: Uint8Array): Promise<Files> {
  const url = `${server.url}/sessions/${SESSION}/files/data`;
  const processor: Samples = {};
  const measured = (name: string, run: () => Promise<void>): Subject => {
    const used: number[] = [];
    processor[name] = used;
    let before = 0;
    const read = () => treeTime(server.pid, readProcesses());
    return {
      name,
      before: async () => {
        before = read();
      },
      run,
      after: async () => used.push((read() - before) / MEGABYTES),
    };
  };
  const upload = async () => {
    const response = await fetch(url, { method: 'PUT', body });
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`An upload was answered with ${response.status}.`);
  };
  const download = async () => {
    const response = await fetch(url);
    let bytes = 0;
    for await (const chunk of response.body ?? []) bytes += chunk.length;
    if (bytes !== BYTES) throw new Error(`A download was answered with ${response.status} and ${bytes} bytes.`);
  };
  // Every other round begins with the download, the first one too.
  await upload();
  const subjects = [measured(NAMES.upload, upload), measured(NAMES.download, download)];
  return { subjects, processor };
}

function toRows(samples: Samples): Row[] {
  const rates = (name: string) => (samples[name] ?? []).map((ms) => MEGABYTES / (ms / 1000));
  const against = (name: string) => [{ floor: "engine's exec", of: median(rates(name)) }];
  return [
    toRow(NAMES.in, 'MB/s', rates(NAMES.in)),
    toRow(NAMES.out, 'MB/s', rates(NAMES.out)),
    toRow(NAMES.upload, 'MB/s', rates(NAMES.upload), against(NAMES.in)),
    toRow(NAMES.download, 'MB/s', rates(NAMES.download), against(NAMES.out)),
  ];
}

function toProcessorRows(processor: Samples, warmUp: number): Row[] {
  return [NAMES.upload, NAMES.download].map((name) => ({
    ...toRow(`${name}, server's processor time for each MB`, 'ms', (processor[name] ?? []).slice(warmUp)),
    ofTargets: TARGET,
  }));
}
