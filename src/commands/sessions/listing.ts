import type { ClientExecution, ClientProgram, ClientSession } from '../../client/client.ts';
import type { Config } from '../../config/load.ts';
import { GloveboxError } from '../../errors.ts';
import type { CommandContext } from '../context.ts';
import { type ClientCommandOptions, type Work, withClient } from '../with-client.ts';
import { demandSession } from './demand-session.ts';
import { formatBytes, formatSpan, formatTable } from './table.ts';

/** Executions that `ps` shows. */
const MOST_EXECUTIONS = 10;
/** Characters of code that it shows. */
const CODE_LENGTH = 40;

/** Runs `glovebox ps`: lists sessions, and the last executions; or what was begun in the background of a session. */
export async function runPs(
  config: Config,
  session: string | undefined,
  options: ClientCommandOptions,
  context: CommandContext,
): Promise<void> {
  await withClient(config, { ...options, keepsSessions: true }, context, async ({ client, console }) => {
    if (session !== undefined) {
      await demandSession(client, session);
      const programs = await client.programs(session);
      console.endProgress();
      await console.own(formatTable(['EXECUTION', 'KIND', 'STATUS', 'BEGAN', 'CODE'], programs.map(toProgramRow)));
      return 0;
    }
    const [sessions, executions] = [await client.sessions(), await client.executions()];
    console.endProgress();
    const titles = ['SESSION', 'STATE', 'RUNNING', 'CONTEXTS', 'USED', 'KEPT FOR'];
    await console.own(formatTable(titles, sessions.map(toSessionRow)));
    const last = executions.slice(0, MOST_EXECUTIONS).map(toExecutionRow);
    if (last.length === 0) return 0;
    await console.own(`\n${formatTable(['EXECUTION', 'SESSION', 'STATUS', 'BEGAN', 'TOOK', 'CODE'], last)}`);
    return 0;
  });
}

function toSessionRow({ id, state, running, contexts, lastUsedAt, expiresAt }: ClientSession): string[] {
  const now = Date.now();
  const times = [`${formatSpan(now - lastUsedAt.getTime())} ago`, formatSpan(expiresAt.getTime() - now)];
  return [id, state, String(running), contexts.join(',') || '-', ...times];
}

function toExecutionRow({ id, sessionId, status, startedAt, durationMs, isCommand, code }: ClientExecution): string[] {
  const took = durationMs === undefined ? '-' : formatSpan(durationMs);
  return [id, sessionId, status, ago(startedAt), took, headOf(`${isCommand ? '$ ' : ''}${code.trim()}`)];
}

function toProgramRow({ id, kind, status, startedAt, code }: ClientProgram): string[] {
  return [id, kind ?? '-', status, ago(startedAt), headOf(code?.trim() ?? '-')];
}

function ago(time: Date): string {
  return `${formatSpan(Date.now() - time.getTime())} ago`;
}

/** The first line of code, as far as a table has room for it. */
function headOf(code: string): string {
  const line = code.split('\n', 1)[0] ?? '';
  return line.length > CODE_LENGTH ? `${line.slice(0, CODE_LENGTH - 1)}…` : line;
}

export interface LogsOptions extends ClientCommandOptions {
  readonly follow?: true;
}

/** Runs `glovebox logs`: writes what an execution wrote, or the last one of a session. */
export async function runLogs(
  config: Config,
  id: string,
  options: LogsOptions,
  context: CommandContext,
): Promise<void> {
  await withClient(config, { ...options, keepsSessions: true }, context, async (work) => {
    const executions = await work.client.executions();
    const found = executions.find((one) => one.id === id) ?? executions.find((one) => one.sessionId === id);
    if (!found) {
      throw new GloveboxError(
        'execution_not_found',
        `There is no execution ${JSON.stringify(id)}, and no session that ran one.`,
        {
          hint: 'glovebox ps lists them. A server keeps the last hundred; without a server, there are none.',
        },
      );
    }
    return await writeLog(found, options.follow === true, work);
  });
}

async function writeLog(found: ClientExecution, follows: boolean, { client, console, signal }: Work): Promise<number> {
  const isRunning = found.status === 'running' || found.status === 'queued';
  console.endProgress();
  if (found.isBackground) {
    const onEvent = async (event: { readonly type: string; readonly text?: string }) => {
      if (event.type === 'stdout' || event.type === 'stderr') await console.program(event.type, event.text ?? '');
    };
    await client.output(found.id, { signal, onEvent, follows });
    return 0;
  }
  if (isRunning) {
    console.note(`glovebox: ${found.id} runs. Until its end, only the one who started it gets its output.`);
    return 0;
  }
  await console.program('stdout', found.stdout ?? '');
  await console.program('stderr', found.stderr ?? '');
  if (found.error !== undefined) console.note(`glovebox: ${found.error}`);
  return 0;
}

/** Runs `glovebox snapshot`: makes one of a session, or lists them all. */
export async function runSnapshot(
  config: Config,
  session: string | undefined,
  options: ClientCommandOptions,
  context: CommandContext,
): Promise<void> {
  await withClient(config, { ...options, keepsSessions: true }, context, async ({ client, console }) => {
    const found = session === undefined ? await client.snapshots() : [await client.snapshot(session)];
    console.endProgress();
    const rows = found.map(({ id, sessionId, size, createdAt }) => [
      ...[id, sessionId, formatBytes(size), `${formatSpan(Date.now() - createdAt.getTime())} ago`],
    ]);
    // Scripts go on with the id.
    await console.own(
      session === undefined ? formatTable(['SNAPSHOT', 'SESSION', 'SIZE', 'MADE'], rows) : `${found[0]?.id}\n`,
    );
    return 0;
  });
}
