import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type NotesServer, startNotes, writing } from '../support/notes-server.ts';
import { type ErrorAnswer, type Execution, post, runPython, streamPython } from '../support/rest-client.ts';
import { environment, newStateDir, runCli, type Server, startServer } from '../support/server.ts';

interface Question {
  readonly approval_id: string;
  readonly owner: string;
  readonly execution_id: string;
  readonly tool: string;
  readonly arguments: string;
}

let notes: NotesServer;
let server: Server;
let env: Record<string, string>;
const keys: Record<string, string> = {};

const bearer = (name: string) => ({ headers: { authorization: `Bearer ${keys[name]}` } });

beforeAll(async () => {
  notes = await startNotes();
  const stateDir = newStateDir();
  env = {
    ...notes.settings(stateDir),
    GLOVEBOX_AUTH: 'keys',
    GLOVEBOX_DEFAULT_SESSION: 'new',
    GLOVEBOX_INSTANCE: 'asking',
  };
  const make = async (name: string, ...options: string[]) => {
    const { stdout } = await runCli(['key', 'new', name, ...options], environment(stateDir, env));
    return stdout.trim();
  };
  keys['alice'] = await make('alice');
  keys['bob'] = await make('bob');
  keys['nobody'] = await make('nobody');
  keys['of-alice'] = await make('person', '--may', 'approve', '--for', 'alice');
  keys['of-bob'] = await make('other-person', '--may', 'approve', '--for', 'bob');
  server = await startServer({ stateDir, env });
});
beforeEach(() => void notes.written.splice(0));
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await notes[Symbol.asyncDispose]();
});

async function waiting(key: string): Promise<Question[]> {
  const answer = await fetch(`${server.url}/approvals`, bearer(key));
  return ((await answer.json()) as { approvals: Question[] }).approvals;
}

/** The next question, once it waits. */
async function nextQuestion(key: string): Promise<Question> {
  return await expect
    .poll(async () => (await waiting(key))[0], { timeout: 15_000, interval: 20 })
    .toBeDefined()
    .then(async () => (await waiting(key))[0] ?? Promise.reject(new Error('it is gone')));
}

async function answer(key: string, { approval_id: id }: Pick<Question, 'approval_id'>, decision: string) {
  const response = await post(server, `/approvals/${id}`, { answer: decision }, bearer(key));
  const { error } = (await response.json()) as Partial<ErrorAnswer>;
  return { status: response.status, code: error?.code, message: error?.message ?? '' };
}

test('a person with a key for it allows, refuses, and allows for the session, whatever the caller can', async () => {
  const events: string[] = [];
  const running = (async () => {
    let result: Execution | undefined;
    const texts = ['one', 'two', 'three', 'four'];
    for await (const { event, data } of streamPython(server, { code: writing(...texts) }, bearer('alice'))) {
      if (event === 'progress') events.push((data as { message: string }).message);
      if (event === 'result') result = (data as { result: Execution }).result;
    }
    return result;
  })();
  for (const decision of ['once', 'refuse', 'session']) {
    expect(await answer('of-alice', await nextQuestion('of-alice'), decision)).toMatchObject({ status: 200 });
  }
  const result = await running;
  expect(result?.stdout).toBe('written\napproval_refused\nwritten\nwritten\n3 in all\n');
  expect(notes.written).toEqual(['one', 'three', 'four']);
  expect(events.filter((message) => message.startsWith('waits for a person: may it call notes.write?'))).toHaveLength(
    3,
  );
});

test('a tool that is always asked for is asked for again, and never allowed for a session', async () => {
  const code = 'import tools\nfor n in range(2): print(tools.notes.erase(text=str(n)))';
  const running = runPython(server, code, {}, bearer('alice'));
  const first = await nextQuestion('of-alice');
  expect(await answer('of-alice', first, 'session')).toMatchObject({ status: 400, code: 'invalid_input' });
  expect(await answer('of-alice', first, 'once')).toMatchObject({ status: 200 });
  expect(await answer('of-alice', await nextQuestion('of-alice'), 'once')).toMatchObject({ status: 200 });
  expect((await running).stdout).toBe('written\nwritten\n');
});

test('an owner whose questions nobody may answer is refused at once', async () => {
  const result = await runPython(server, writing('one'), {}, bearer('nobody'));
  expect(result.stdout).toBe('approval_unavailable\n0 in all\n');
  expect(result.waited_ms).toBeUndefined();
});

test('code in the background waits for a person, too, and its end makes an answer late', async () => {
  const { execution_id: id } = await runPython(server, writing('one'), { background: true }, bearer('alice'));
  const question = await nextQuestion('of-alice');
  expect(question).toMatchObject({ owner: 'alice', execution_id: id, tool: 'write', arguments: '{"text":"one"}' });
  expect(await answer('of-bob', question, 'once')).toMatchObject({ status: 404, code: 'approval_not_found' });
  expect(await answer('alice', question, 'once')).toMatchObject({ status: 403, code: 'forbidden' });
  const cancelled = await fetch(`${server.url}/executions/${id}`, { method: 'DELETE', ...bearer('alice') });
  expect(cancelled.ok).toBe(true);
  await expect.poll(() => waiting('of-alice')).toEqual([]);
  const late = await answer('of-alice', question, 'once');
  expect(late).toMatchObject({ status: 409, code: 'approval_over', message: expect.stringContaining('has ended') });
  expect(notes.written).toEqual([]);
});

test('what hostile code wants is shown short, and with every character seen', async () => {
  const code = `import tools
evil = "\\u202e\\x1b[2J<img src=x onerror=alert(1)>\\u200b" + "x" * 500_000
print(tools.notes.write(text=evil))`;
  const running = runPython(server, code, {}, bearer('alice'));
  const question = await nextQuestion('of-alice');
  expect(question.arguments.length).toBeLessThanOrEqual(2048);
  expect(question.arguments).toMatch(/^[ -~…]+$/);
  expect(question.arguments).toContain('\\u202e\\u001b[2J<img src=x onerror=alert(1)>\\u200bxxx');
  expect(question.arguments).toMatch(/… \d{6} more characters\}$/);
  await answer('of-alice', question, 'refuse');
  expect((await running).error?.value).toContain('approval_refused');
});

test('a client that goes away takes its question with it', async () => {
  const leaving = new AbortController();
  const running = runPython(server, writing('one'), {}, { ...bearer('alice'), signal: leaving.signal });
  running.catch(() => {});
  await nextQuestion('of-alice');
  leaving.abort();
  await expect.poll(() => waiting('of-alice')).toEqual([]);
  expect(notes.written).toEqual([]);
});

test('code that waits for an answer when the server is killed ends by name, and is asked for anew', async () => {
  const foreground = runPython(server, writing('one'), {}, bearer('alice'));
  foreground.catch(() => {});
  const code = `import tools
try: tools.notes.write(text="two")
except tools.ToolError as error: print(error.code)`;
  const { execution_id: id } = await runPython(server, code, { background: true }, bearer('alice'));
  await expect.poll(async () => (await waiting('of-alice')).length, { timeout: 15_000 }).toBe(2);
  const [question] = await waiting('of-alice');
  const { port, stateDir } = server;
  await server.kill();
  await expect(foreground).rejects.toThrow();
  server = await startServer({ stateDir, env, port });
  if (question) expect(await answer('of-alice', question, 'once')).toMatchObject({ status: 404 });
  const response = await fetch(`${server.url}/executions/${id}?wait_s=30`, bearer('alice'));
  const ended = (await response.json()) as Execution;
  expect(ended).toMatchObject({ status: 'ok' });
  expect(ended.stdout).toBe('client_gone\n');
  expect(notes.written).toEqual([]);
});
