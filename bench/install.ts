import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Build, settleAll } from './against/build.ts';
import { pairRows, pairSubjects } from './against/pair.ts';
import { interleave, median, type Samples, type Subject } from './measure.ts';
import type { Server } from './server.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const PACKAGES = ['numpy', 'pandas', 'requests'];
const NAMES = {
  cold: `install ${PACKAGES.join(' ')}: nothing cached`,
  cached: `install ${PACKAGES.join(' ')}: cached`,
  pipCold: 'pip install on the host: nothing cached',
  pipCached: 'pip install on the host: cached',
};
/** Of pip's cached time, and of its cold one. */
const TARGETS = { cached: 0.35, cold: 1 };

/** Installs into new sessions, against plain pip on the host with the same index. */
export async function measureInstalls({ builds, signal, quick }: Setting): Promise<Row[]> {
  const scratch = mkdtempSync(join(tmpdir(), 'glovebox-install-'));
  try {
    await using stack = new AsyncDisposableStack();
    const pipCache = join(scratch, 'pip');
    const warm: Server[] = [];
    const settle = () => settleAll(warm);
    const subjects: Subject[] = [
      ...(await pairSubjects(builds, async (build) => {
        const server = stack.use(await build.start(['--cache-dir', mkdtempSync(join(scratch, 'warm-'))]));
        warm.push(server);
        return [{ name: NAMES.cached, before: settle, run: () => install(server.url) }, coldSubject(build, scratch)];
      })),
      { name: NAMES.pipCached, run: () => pip(scratch, ['--cache-dir', pipCache], signal) },
      { name: NAMES.pipCold, run: () => pip(scratch, ['--no-cache-dir'], signal) },
    ];
    const samples = await interleave(subjects, { rounds: quick ? 2 : 4, warmUp: 1, signal });
    return pairRows(samples, toRows);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function toRows(samples: Samples): Row[] {
  const of = (name: string) => samples[name] ?? [];
  const cached = { floor: 'pip, cached', of: median(of(NAMES.pipCached)), target: TARGETS.cached };
  const cold = { floor: 'pip, nothing cached', of: median(of(NAMES.pipCold)), target: TARGETS.cold };
  return [
    toRow(NAMES.pipCold, 'ms', of(NAMES.pipCold)),
    toRow(NAMES.pipCached, 'ms', of(NAMES.pipCached)),
    toRow(NAMES.cold, 'ms', of(NAMES.cold), [cold]),
    toRow(NAMES.cached, 'ms', of(NAMES.cached), [cached]),
  ];
}

/** A server of its own for each sample, because its cache is filled by the first. */
function coldSubject(build: Build, scratch: string): Subject {
  let server: Server | undefined;
  return {
    name: NAMES.cold,
    before: async () => {
      server = await build.start(['--cache-dir', mkdtempSync(join(scratch, 'cold-'))]);
      await server.settled();
    },
    run: () => install(server?.url ?? ''),
    after: async () => server?.[Symbol.asyncDispose](),
  };
}

/** Installs into a new session, which is closed again. */
async function install(url: string): Promise<void> {
  const session_id = `install-${Date.now()}`;
  const body = { name: 'install_dependencies', session_id, arguments: { packages: PACKAGES, timeout_s: 300 } };
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${url}/execute`, { method: 'POST', headers, body: JSON.stringify(body) });
  const answer = (await response.json()) as { result?: { status: string } };
  if (answer.result?.status !== 'ok') throw new Error(`The installation failed: ${JSON.stringify(answer)}`);
  await fetch(`${url}/sessions/${session_id}`, { method: 'DELETE' });
}

async function pip(scratch: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  const target = mkdtempSync(join(scratch, 'target-'));
  const common = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--root-user-action=ignore'];
  const child = spawn('python3', [...common, '--target', target, ...args, ...PACKAGES], { stdio: 'ignore', signal });
  const [code] = (await once(child, 'exit')) as [number | null];
  rmSync(target, { recursive: true, force: true });
  if (code !== 0) throw new Error(`pip ended with ${code}`);
}
