import { afterAll, beforeAll, expect } from 'vitest';
import { type Execution, openSession, runPython, userOf } from '../support/rest-client.ts';
import { containerOfUser, containersOf, processesOf, type Server, startServer } from '../support/server.ts';

/** The control plane's ladder above the time limit: grace, confirmation, kill from outside, looks, removal, on a busy machine. */
export const LADDER_MS = 17_000;

/** A session of its own for one attack, and what there is to see of it from outside. */
export interface Victim {
  readonly id: string;
  readonly uid: number;
  /** Runs code that may do its worst. */
  run(code: string, args?: Record<string, unknown>): Promise<Execution>;
  /** What the sandbox's user runs, as the engine sees it; the resident runner left out. */
  leftovers(): Promise<string[]>;
}

export async function openVictim(server: Server): Promise<Victim> {
  const id = await openSession(server);
  const uid = await userOf(server, id);
  return {
    id,
    uid,
    run: (code, args = {}) => runPython(server, code, { session_id: id, timeout_s: 3, ...args }),
    leftovers: async () => {
      const container = await containerOfUser(server, uid);
      // In brackets: its memory is gone already, as that of a supervisor that has reported.
      return (await processesOf(container, uid)).filter((args) => !/\/opt\/glovebox\/runner|^\[.*\]$/.test(args));
    },
  };
}

/** One session for all tests of a file, on a server of its own; to be had from the first test on. */
export function prepareVictim(): () => Victim {
  let server: Server;
  let victim: Victim;
  beforeAll(async () => {
    server = await startServer({ env: { GLOVEBOX_MEMORY_MB: '256', GLOVEBOX_POOL_SIZE: '1' } });
    victim = await openVictim(server);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });
  return () => victim;
}

/** The session works as ever: it runs code, at once, and has no reset left to tell. */
export async function expectUsable({ run }: Victim): Promise<void> {
  const next = await run('open("probe", "w").write("x"); print(1)');
  expect(next).toMatchObject({ status: 'ok', stdout: '1\n', files: [{ path: 'probe', size: 1 }] });
  expect(next).not.toHaveProperty('session_reset');
}

/** There is one sandbox for each session and one in the pool, and none besides. */
export async function expectNoneToSpare(server: Server): Promise<void> {
  const { sessions } = (await (await fetch(`${server.url}/sessions`)).json()) as { sessions: { session_id: string }[] };
  // A test may have left one without a sandbox, which its next call gives it.
  for (const { session_id } of sessions) await runPython(server, 'pass', { session_id });
  await expect.poll(async () => (await containersOf(server)).length).toBe(sessions.length + 1);
}

/** Python: `others()` are the processes of its user but itself; ended ones have nothing left to reach. */
export const OTHERS = [
  'import os, signal, time',
  'def is_live(pid):',
  '    try: return os.stat(f"/proc/{pid}").st_uid == os.getuid() and open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z"',
  '    except OSError: return False',
  'def others(): return [int(p) for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid() and is_live(p)]',
].join('\n');

/** Python: `attempt(action, ...)` says `done`, or the name of the error. */
const ATTEMPT = `
import errno, json, os, sys
def attempt(action, *arguments):
    try:
        action(*arguments)
        return 'done'
    except OSError as error: return errno.errorcode.get(error.errno, str(error))
    except Exception as error: return type(error).__name__
`;

/** Python that prints a value as JSON. */
export const print = (expression: string) => `print(json.dumps(${expression}))`;

/** What code prints as JSON; it has `attempt`, and `json`, `os`, `sys` and `errno`. */
export async function see({ run }: Victim, code: string, args: Record<string, unknown> = {}): Promise<unknown> {
  const result = await run(`${ATTEMPT}\n${code}`, { timeout_s: 20, ...args });
  expect(result).toMatchObject({ status: 'ok', stderr: '' });
  return JSON.parse(result.stdout) as unknown;
}
