import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLI, type Server, startServer } from '../server.ts';
import type { BuiltRef } from './ref.ts';

/** A Glovebox that is measured, with a state directory of its own. */
export interface Build {
  readonly cli: string;
  readonly stateDir: string;
  /** Flags of every process of it. */
  readonly flags: readonly string[];
  /** Starts another server of it. @param env more variables for it */
  start(flags: readonly string[], env?: Readonly<Record<string, string>>): Promise<Server>;
  /** With a pool, as it comes. */
  readonly server: Server;
}

/** What there is of a build before its first server runs. Disposing removes its directory. */
export interface PreparedBuild extends Omit<Build, 'server'>, Disposable {
  /** In the label of all that its Gloveboxes make, after an `@`: so what they should leave can be found. */
  readonly id: string;
}

export function prepareBuild(ref: BuiltRef | undefined, image: string, signal: AbortSignal): PreparedBuild {
  const cli = ref?.cli ?? CLI;
  const stateDir = mkdtempSync(join(tmpdir(), 'glovebox-bench-'));
  const id = randomBytes(4).toString('hex');
  writeFileSync(join(stateDir, 'id'), id, { mode: 0o600 });
  const flags = ['--state-dir', stateDir, '--image', image];
  return {
    cli,
    stateDir,
    flags,
    id,
    start: (more, env = {}) => startServer([...flags, ...more], signal, { cli, env }),
    [Symbol.dispose]: () => rmSync(stateDir, { recursive: true, force: true }),
  };
}

/** Settles when no build fills its pool any more. */
export async function settleAll(servers: readonly Server[]): Promise<void> {
  for (const server of servers) await server.settled();
}
