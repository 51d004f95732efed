import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Server, startServer } from '../bench/server.ts';
import { freePort } from '../test/support/free-port.ts';
import { type Cancelling, openCancelling } from './cancelling.ts';
import { Outside } from './outside.ts';
import { openRunEngine } from './own-engine.ts';
import type { Places } from './sample.ts';
import { ServerLog } from './server-log.ts';

const PROBE = fileURLToPath(new URL('probe.ts', import.meta.url));
const POOL = 2;

/** A server under test with all that watches it. Disposing of it removes whatever the run has made. */
export interface Setting extends AsyncDisposable {
  readonly server: Server;
  readonly places: Places;
  readonly outside: Outside;
  readonly cancelling: Cancelling;
  readonly log: ServerLog;
}

export async function openSetting(
  { sessions, which }: { readonly sessions: number; readonly which: 'own' | 'machine' },
  signal: AbortSignal,
): Promise<Setting> {
  await using stack = new AsyncDisposableStack();
  const root = mkdtempSync(join(tmpdir(), 'glovebox-soak-'));
  stack.defer(() => rmSync(root, { recursive: true, force: true }));
  const [stateDir, tempDir, probe] = [join(root, 'state'), join(root, 'temp'), join(root, 'probe.json')];
  for (const directory of [stateDir, tempDir]) mkdirSync(directory);
  const flags = [
    ...['--state-dir', stateDir, '--image', 'slim', '--port', String(await freePort()), '--pool-size', String(POOL)],
    // Small, so that running out of memory is quick and nobody takes a whole processor; short, so that sessions come to
    // rest in mid-run.
    ...['--memory-mb', '192', '--cpus', '0.5', '--hibernate-after-s', '15'],
    ...['--max-sessions', String(sessions * 2), '--max-sessions-per-owner', String(sessions * 2)],
  ];
  const log = new ServerLog();
  const engine = stack.use(await openRunEngine(join(root, 'engine'), which));
  const outside = new Outside(engine.docker, stateDir);
  stack.defer(() => outside.removeAll());
  const env = {
    ...{ DOCKER_HOST: engine.address, TMPDIR: tempDir },
    ...{ SOAK_PROBE: probe, NODE_OPTIONS: `--import ${PROBE}` },
  };
  const server = stack.use(await startServer(flags, signal, { env, hear: (chunk) => log.take(chunk) }));
  const cancelling = stack.use(await openCancelling(server.url));
  await server.settled();
  const places = { pid: server.pid, enginePid: engine.pid, stateDir, tempDir, probe, outside };
  const owned = stack.move();
  return { server, places, outside, cancelling, log, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
