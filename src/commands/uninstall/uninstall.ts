import { createInterface } from 'node:readline/promises';
import type { Config } from '../../config/load.ts';
import { findRemains } from '../../engines/index.ts';
import { GloveboxError, toGloveboxError } from '../../errors.ts';
import { lookAtState } from '../../glovebox.ts';
import { createLog } from '../../log.ts';
import type { CommandContext } from '../context.ts';
import { OWN_FAILURE } from '../run/exit-status.ts';
import { formatBytes } from '../sessions/table.ts';
import { type FolderRemains, findCaches, findState, removeFolder } from './folders.ts';

/** Options of `glovebox uninstall`. */
export interface UninstallOptions {
  readonly yes?: true;
  readonly withoutEngine?: true;
}

type Remains = Awaited<ReturnType<typeof findRemains>>;

/** All that is to be removed. */
interface Plan {
  /** What is on the engine. Undefined if that is left alone. */
  readonly engine: Remains | undefined;
  /** Sandboxes of this state directory. */
  readonly sandboxes: Remains['sandboxes'];
  readonly state: FolderRemains;
  readonly caches: readonly FolderRemains[];
}

/**
 * Runs `glovebox uninstall`: says what would be removed, and removes it once that is confirmed.
 * @throws GloveboxError `session_busy` while a server of the state directory runs; `engine_unavailable`
 */
export async function runUninstall(config: Config, options: UninstallOptions, context: CommandContext): Promise<void> {
  const { say, signal } = context;
  const plan = await makePlan(config, options);
  const lines = describe(plan);
  if (lines.length === 0) {
    say('Glovebox has left nothing here.');
    process.exitCode = 0;
    return;
  }
  process.stdout.write(`This would be removed:\n\n${lines.join('\n')}\n\n`);
  for (const line of whatStays(plan)) say(line);
  if (options.yes !== true && !(await confirm(signal))) {
    say('Nothing was removed. To remove it: glovebox uninstall --yes');
    process.exitCode = signal.aborted ? OWN_FAILURE : 0;
    return;
  }
  refuseRunning(config);
  process.exitCode = (await remove(plan, context)) ? 0 : OWN_FAILURE;
}

async function makePlan(config: Config, { withoutEngine }: UninstallOptions): Promise<Plan> {
  const id = refuseRunning(config);
  const folders = { state: findState(config), caches: findCaches(config).filter(({ entries }) => entries.length > 0) };
  if (withoutEngine) return { engine: undefined, sandboxes: [], ...folders };
  const engine = await findRemains(config, createLog(config.logLevel)).catch((error: unknown) => {
    const { code, message, hint } = toGloveboxError(error);
    throw new GloveboxError(code, message, {
      hint: `${hint}\nOr remove what is not on the engine alone: glovebox uninstall --without-engine`,
      cause: error,
    });
  });
  const sandboxes = engine.sandboxes.filter(({ instance }) => id !== undefined && instance.endsWith(`@${id}`));
  return { engine, sandboxes, ...folders };
}

/** @returns the id of the state directory @throws GloveboxError `session_busy` while something runs on it */
function refuseRunning({ stateDir }: Config): string | undefined {
  const { running, id } = lookAtState(stateDir);
  if (running.length === 0) return id;
  throw new GloveboxError('session_busy', `Glovebox is running on ${stateDir}: ${running.join(', ')}.`, {
    hint: 'Stop it first. Nothing was removed.',
  });
}

/** Lines for people, one for each thing. Empty if there is nothing. */
function describe({ engine, sandboxes, state, caches }: Plan): string[] {
  const line = (what: string, text: string) => `  ${what.padEnd(11)}${text}`;
  const images = engine?.images ?? [];
  const names = images.map(({ names: all, id }) => all[0] ?? id.slice(0, 19));
  return [
    ...(sandboxes.length > 0 ? [line('containers', `${sandboxes.length} on ${engine?.engine}`)] : []),
    ...names.map((name, at) => line(at === 0 ? 'images' : '', `${name}, ${formatBytes(images[at]?.size ?? 0)}`)),
    ...(state.entries.length > 0 ? [line('state', `${state.folder}: ${describeState(state)}`)] : []),
    ...caches.map(({ folder, entries, size }) =>
      line('cache', `${folder}: ${entries.join(', ')}; ${formatBytes(size)}`),
    ),
  ];
}

function describeState({ entries, size }: FolderRemains): string {
  const named = ['keys', 'secrets'].filter((name) => entries.includes(`${name}.json`));
  return `${['hibernated sessions', 'snapshots', ...named].join(', ')}; ${formatBytes(size)}`;
}

/** Lines on what is not removed. */
function whatStays({ engine, sandboxes }: Plan): string[] {
  const others = (engine?.sandboxes.length ?? 0) - sandboxes.length;
  return [
    ...(others > 0 ? [`${others} containers of other servers stay, with the images that they use.`] : []),
    ...(engine?.installedAt === undefined
      ? []
      : [
          `Docker stays, which Glovebox installed at ${engine.installedAt}, for others may use it: apt-get remove docker.io`,
        ]),
    'The program itself stays: delete the clone, or use npm uninstall.',
  ];
}

/** Asks on a terminal. Nobody is asked elsewhere, and nothing is removed. */
async function confirm(signal: AbortSignal): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question('Remove all of this? [y/N] ', { signal });
    return /^y(es)?$/i.test(answer.trim());
  } catch {
    // Ctrl-C or Ctrl-D.
    return false;
  } finally {
    terminal.close();
  }
}

/** @returns whether all of it is gone */
async function remove({ engine, sandboxes, state, caches }: Plan, { say, signal }: CommandContext): Promise<boolean> {
  for (const sandbox of sandboxes) {
    signal.throwIfAborted();
    await engine?.removeSandbox(sandbox);
  }
  if (sandboxes.length > 0) say(`Removed ${sandboxes.length} containers.`);
  let isWhole = true;
  for (const image of engine?.images ?? []) {
    signal.throwIfAborted();
    const name = image.names[0] ?? image.id.slice(0, 19);
    const isGone = await engine?.removeImage(image);
    isWhole &&= isGone === true;
    say(isGone ? `Removed ${name}.` : `${name} stays: a container or another image uses it.`);
  }
  // Last: the id in it says which containers are ours.
  for (const folder of [...caches, ...(state.entries.length > 0 ? [state] : [])]) {
    removeFolder(folder);
    say(`Removed what was ours in ${folder.folder}.`);
  }
  return isWhole;
}
