import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  LEGACY_HTTP,
  MODERN_HTTP,
  runPythonBy,
  type ShowForm,
  STDIO,
  type StockClient,
} from '../support/mcp-clients.ts';
import { type NotesServer, startNotes, writing } from '../support/notes-server.ts';
import { runPython } from '../support/rest-client.ts';
import { newStateDir, type Server, startServer } from '../support/server.ts';

let notes: NotesServer;
let server: Server;
let stdioState: string;

beforeAll(async () => {
  notes = await startNotes();
  const stateDir = newStateDir();
  stdioState = newStateDir();
  server = await startServer({ stateDir, env: { ...notes.settings(stateDir), GLOVEBOX_DEFAULT_SESSION: 'new' } });
});
beforeEach(() => void notes.written.splice(0));
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await notes[Symbol.asyncDispose]();
});

type Open = (elicit?: ShowForm) => Promise<StockClient>;
const CLIENTS: [string, Open][] = [
  ...[...LEGACY_HTTP, ...MODERN_HTTP].map(([name, connect]): [string, Open] => [
    name,
    (elicit) => connect(server, { elicit }),
  ]),
  ...[...STDIO.slice(0, 1), ...STDIO.slice(-1)].map(([name, connect]): [string, Open] => [
    `stdio, ${name}`,
    (elicit) => connect(stdioState, elicit, notes.settings(stdioState)),
  ]),
];

const answers = (...given: string[]) => {
  const shown: string[] = [];
  const elicit: ShowForm = async ({ message }) => {
    shown.push(message);
    const answer = given.shift();
    return answer === undefined ? { action: 'decline' } : { action: 'accept', content: { answer } };
  };
  return { shown, elicit };
};

describe.each(CLIENTS)('code of a stock client whose user can be asked (%s)', (_name, open) => {
  test('writes what the user allows, once or for the session, and nothing else', async () => {
    const { shown, elicit } = answers('once', 'refuse', 'for this session');
    await using client = await open(elicit);
    const result = await runPythonBy(client, writing('one', 'two', 'three', 'four'));
    expect(result).toMatchObject({ status: 'ok' });
    expect(result.stdout).toBe('written\napproval_refused\nwritten\nwritten\n3 in all\n');
    expect(notes.written).toEqual(['one', 'three', 'four']);
    expect(shown).toHaveLength(3);
    expect(shown[1]).toContain('call the tool write of notes?\nArguments: {"text":"two"}');
    expect(result.waited_ms).toBeGreaterThan(0);
  });

  test('is refused at once, and told what to set up, by a client that cannot ask its user', async () => {
    await using client = await open();
    const result = await runPythonBy(client, `import tools\ntools.notes.write(text="one")`);
    expect(result).toMatchObject({ status: 'error', error: { name: 'ToolError' } });
    expect(result.error?.value).toMatch(/approval_unavailable[\s\S]*docs\/approvals\.md/);
    expect(notes.written).toEqual([]);
  });
});

test.each([...LEGACY_HTTP.slice(0, 1), ...MODERN_HTTP.slice(0, 1)])(
  'the time limit of code stands still while its user thinks (%s)',
  async (_name, connect) => {
    const elicit: ShowForm = async () => {
      // Takes longer than the code that waits may take.
      expect(await runPython(server, 'while True: pass', { timeout_s: 2 })).toMatchObject({ status: 'timeout' });
      return { action: 'accept', content: { answer: 'once' } };
    };
    await using client = await connect(server, { elicit });
    const result = await runPythonBy(client, writing('one'), { timeout_s: 2 });
    expect(result).toMatchObject({ status: 'ok', stdout: expect.stringContaining('written') });
    expect(result.waited_ms).toBeGreaterThan(2000);
    expect(result.duration_ms).toBeGreaterThan(result.waited_ms ?? 0);
  },
);
