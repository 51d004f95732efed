import { settleAll } from './against/build.ts';
import { pairRows, pairSubjects } from './against/pair.ts';
import { closeSession, post } from './doors.ts';
import { interleave, type Samples, type Subject } from './measure.ts';
import type { Server } from './server.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

/** The modules of each server; its sessions import one each, in turn. */
const SERVERS = [['pandas'], ['numpy', 'matplotlib.pyplot']] as const;
/** Sessions with each module before those that count: as many as a server needs to notice what its sessions import. */
const WARM_UP = 5;
/** Of the other build's first import of pandas. */
const TARGET = 1 / 8;

const nameOf = (module: string) => `new session, pool ready, image data: first import ${module}`;

/** The first call of new sessions imports a module; the servers have the image `data`, and their defaults otherwise. */
export async function measureFirstImports({ builds, quick, signal }: Setting): Promise<Row[]> {
  const rows: Row[] = [];
  for (const modules of SERVERS) {
    await using stack = new AsyncDisposableStack();
    const servers: Server[] = [];
    const settle = () => settleAll(servers);
    const subjects = await pairSubjects(builds, async (build) => {
      const server = stack.use(await build.start(['--image', 'data']));
      servers.push(server);
      return modules.map((module) => firstImport(server, module, settle));
    });
    const samples = await interleave(subjects, { rounds: quick ? 4 : 12, warmUp: WARM_UP, signal });
    rows.push(...pairRows(samples, (of) => modules.map((module) => toImportRow(module, of))));
  }
  return rows;
}

function firstImport({ url }: Server, module: string, settle: () => Promise<void>): Subject {
  let made = 0;
  const session = () => `first-${module.replace('.', '-')}-${made}`;
  const code = `import ${module} as module\nprint(module.__name__)`;
  return {
    name: nameOf(module),
    before: settle,
    run: async () => {
      made += 1;
      const { stdout } = await post(url, { code, session_id: session() });
      if (stdout !== `${module}\n`) throw new Error(`A first import of ${module} printed ${String(stdout)}.`);
    },
    after: () => closeSession(url, session()),
  };
}

function toImportRow(module: string, samples: Samples): Row {
  const row = toRow(nameOf(module), 'ms', samples[nameOf(module)] ?? []);
  return module === 'pandas' ? { ...row, ofTargets: TARGET } : row;
}
