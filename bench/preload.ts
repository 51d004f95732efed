import type { Build } from './against/build.ts';
import { pairRows, pairSubjects } from './against/pair.ts';
import { closeSession, post } from './doors.ts';
import { interleave, median, type Samples, type Subject } from './measure.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const SESSION = 'preload';
const NAMES = {
  cold: 'import pandas: nothing preloaded',
  preloaded: 'import pandas: preloaded',
  print: 'print(1) where pandas is preloaded',
};
/** Of the cold import. */
const TARGET = 1 / 15;
/** The first imports, the second is held until that is shared; more on a machine that is short of time. */
const ATTEMPTS = 20;

/** `import pandas` over REST, in a session that has imported it before and in one that loads nothing ahead. */
export async function measurePreload({ builds, signal, quick }: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const subjects = await pairSubjects(builds, (build) => openSessions(build, stack));
  return pairRows(await interleave(subjects, { rounds: quick ? 15 : 50, warmUp: 3, signal }), toRows);
}

async function openSessions(build: Build, stack: AsyncDisposableStack): Promise<Subject[]> {
  const open = async (preload: string) => {
    const server = stack.use(await build.start(['--image', 'data', '--pool-size', '0', '--preload', preload]));
    stack.defer(() => closeSession(server.url, SESSION));
    return server;
  };
  const none = await open('none');
  await importPandas(none.url);
  const adaptive = await open('adaptive');
  await waitUntilLoaded(adaptive.url);
  return [
    { name: NAMES.cold, run: () => importPandas(none.url, false) },
    { name: NAMES.preloaded, run: () => importPandas(adaptive.url, true) },
    { name: NAMES.print, run: () => ask(adaptive.url, 'print(1)', '1\n') },
  ];
}

function toRows(samples: Samples): Row[] {
  const of = (name: string) => samples[name] ?? [];
  return [
    toRow(NAMES.cold, 'ms', of(NAMES.cold)),
    toRow(NAMES.preloaded, 'ms', of(NAMES.preloaded), [
      { floor: 'nothing preloaded', of: median(of(NAMES.cold)), target: TARGET },
    ]),
    toRow(NAMES.print, 'ms', of(NAMES.print)),
  ];
}

async function waitUntilLoaded(url: string): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) if (await importPandas(url)) return;
  throw new Error('pandas was not preloaded.');
}

/** Whether it was there before. @throws Error when that is not as expected. */
async function importPandas(url: string, expected?: boolean): Promise<boolean> {
  const code = "import sys\nfound = 'pandas' in sys.modules\nimport pandas\nprint(found)";
  const { stdout } = await post(url, { code, session_id: SESSION });
  const found = stdout === 'True\n';
  if (expected !== undefined && found !== expected) throw new Error(`An import of pandas printed ${String(stdout)}.`);
  return found;
}

async function ask(url: string, code: string, output: string): Promise<void> {
  const { stdout } = await post(url, { code, session_id: SESSION });
  if (stdout !== output) throw new Error(`${code} printed ${String(stdout)}.`);
}
