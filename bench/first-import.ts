import { settleAll } from './against/build.ts';
import { pairRows, pairSubjects } from './against/pair.ts';
import { closeSession, post } from './doors.ts';
import { interleave, type Samples, type Subject } from './measure.ts';
import type { Server } from './server.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const CODE = 'import pandas\nprint(pandas.__name__)';
const NAME = 'new session, pool ready, image data: first import pandas';
/** Sessions before those that count: as many as a server needs to notice what its sessions import. */
const WARM_UP = 5;

/** The first call of new sessions imports pandas; the server has the image `data`, and its defaults otherwise. */
export async function measureFirstImports({ builds, quick, signal }: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const servers: Server[] = [];
  const settle = () => settleAll(servers);
  const subjects = await pairSubjects(builds, async (build) => {
    const server = stack.use(await build.start(['--image', 'data']));
    servers.push(server);
    return [firstImport(server, settle)];
  });
  const samples = await interleave(subjects, { rounds: quick ? 5 : 15, warmUp: WARM_UP, signal });
  return pairRows(samples, toRows);
}

function firstImport({ url }: Server, settle: () => Promise<void>): Subject {
  let made = 0;
  return {
    name: NAME,
    before: settle,
    run: async () => {
      made += 1;
      const { stdout } = await post(url, { code: CODE, session_id: `first-import-${made}` });
      if (stdout !== 'pandas\n') throw new Error(`A first import of pandas printed ${String(stdout)}.`);
    },
    after: () => closeSession(url, `first-import-${made}`),
  };
}

function toRows(samples: Samples): Row[] {
  return [toRow(NAME, 'ms', samples[NAME] ?? [])];
}
