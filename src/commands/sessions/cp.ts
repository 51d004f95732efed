import { statSync } from 'node:fs';
import { basename, join, posix } from 'node:path';
import type { Client } from '../../client/client.ts';
import type { Config } from '../../config/load.ts';
import { GloveboxError } from '../../errors.ts';
import type { CommandContext } from '../context.ts';
import type { Console } from '../run/console.ts';
import { OWN_FAILURE } from '../run/exit-status.ts';
import { listFiles, pathWithin, readLocal, writeLocal } from '../run/local-files.ts';
import { type ClientCommandOptions, type Work, withClient } from '../with-client.ts';
import { demandSession } from './demand-session.ts';

/** `SESSION:PATH`. A path of this machine with a colon is written as `./a:b`. */
const PLACE = /^([A-Za-z0-9_-]+):(.*)$/s;

interface Place {
  readonly session: string;
  /** Path in the workspace, without a slash at its beginning. Empty for the workspace. */
  readonly path: string;
}

/** Runs `glovebox cp`: copies a file or folder into a session, or out of one. `-` is standard input or output. */
export async function runCp(
  config: Config,
  [from, to]: readonly [string, string],
  options: ClientCommandOptions,
  context: CommandContext,
): Promise<void> {
  const [source, target] = [readPlace(from), readPlace(to)];
  await withClient(config, { ...options, keepsSessions: true }, context, async (work) => {
    if (source && !target) return await copyOut(source, to, work);
    if (target && !source) return await copyIn(from, target, work);
    throw new GloveboxError('invalid_input', 'One of the two is in a session, as SESSION:PATH, and one is not.', {
      hint: 'For example: glovebox cp mine:result.csv .',
    });
  });
}

function readPlace(text: string): Place | undefined {
  const [, session, path = ''] = PLACE.exec(text) ?? [];
  return session === undefined ? undefined : { session, path: path.replace(/^\/workspace\/?/, '').replace(/\/+$/, '') };
}

async function copyOut({ session, path }: Place, to: string, { client, console, signal }: Work): Promise<number> {
  await demandSession(client, session);
  if (to === '-') {
    const decoder = new TextDecoder();
    if (console.isTerminal) {
      for await (const piece of client.read(session, path))
        await console.program('stdout', decoder.decode(piece, { stream: true }));
    } else for await (const piece of client.read(session, path)) await console.own(piece);
    return 0;
  }
  const { files, truncated } = await client.list(session, path);
  const isFile = files.length === 1 && files[0]?.path === path && files[0].type === 'file';
  const base = isFolder(to) ? join(to, posix.basename(path)) : to;
  if (isFile) {
    await writeLocal(base, client.read(session, path));
    return 0;
  }
  let status = truncated ? tooMany(console) : 0;
  for (const file of files.filter(({ type }) => type === 'file')) {
    signal.throwIfAborted();
    const local = pathWithin(base, path === '' ? file.path : posix.relative(path, file.path));
    console.progress(`Copying ${file.path}`);
    if (local === undefined) status = leftOut(console, file.path);
    else await writeLocal(local, client.read(session, file.path));
  }
  return status;
}

async function copyIn(from: string, { session, path }: Place, { client, console, signal }: Work): Promise<number> {
  await demandSession(client, session);
  if (from === '-') {
    await client.write(session, path, process.stdin);
    return 0;
  }
  const target = (await isFolderThere(client, session, path)) ? posix.join(path, basename(from)) : path;
  for (const file of listFiles(from, target)) {
    signal.throwIfAborted();
    console.progress(`Copying ${file.local}`);
    await client.write(session, file.path, readLocal(file));
  }
  return 0;
}

function isFolder(local: string): boolean {
  return statSync(local, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

async function isFolderThere(client: Client, session: string, path: string): Promise<boolean> {
  if (path === '') return true;
  try {
    const { files } = await client.list(session, path);
    return !(files.length === 1 && files[0]?.path === path);
  } catch (error) {
    if (error instanceof GloveboxError && error.code === 'file_not_found') return false;
    throw error;
  }
}

function tooMany(console: Console): number {
  console.note('glovebox: the folder has more than 1000 entries, and only the first are copied');
  return OWN_FAILURE;
}

function leftOut(console: Console, path: string): number {
  console.note(`glovebox: left out ${path}, whose name cannot be one here`);
  return OWN_FAILURE;
}
