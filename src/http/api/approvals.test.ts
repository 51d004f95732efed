import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startProtocolServer } from '../../../test/mcp/protocol-server.ts';
import { type RawRequest, sendRaw } from '../../../test/support/raw-request.ts';
import { Approvals } from '../../approvals/approvals.ts';
import { createLog } from '../../log.ts';
import { createApproverFinder, createAuthenticator } from '../auth/auth.ts';
import { addApprover, addKey, approversFile, revokeKeys } from '../auth/key-file.ts';
import { KeyRing } from '../auth/key-ring.ts';

const directory = mkdtempSync(join(tmpdir(), 'glovebox-approvals-'));
const path = join(directory, 'keys.json');
const approvers = approversFile(path);
const [alice, bob] = [addKey(path, 'alice').key, addKey(path, 'bob').key];
const everybodys = addApprover(approvers, 'carol').key;
// Of the same name as the owner whose code asks: still another key.
const alices = addApprover(approvers, 'alice', { owner: 'alice' }).key;
const log = createLog('error');
const approvals = new Approvals({ log });
let keyed: Awaited<ReturnType<typeof startProtocolServer>>;
let open: typeof keyed;
let rings: KeyRing[];

beforeAll(async () => {
  const ring = KeyRing.open(approvers, log, { right: 'approve' });
  const keys = KeyRing.open(path, log);
  rings = [ring, keys];
  approvals.answerWith(ring);
  const app = { approvals, findApprover: createApproverFinder(ring) };
  keyed = await startProtocolServer({ log, app: { ...app, authenticate: createAuthenticator(keys) } });
  open = await startProtocolServer({ log, app });
});
afterEach(() => {
  // What a test has left behind must not fail the next ones.
  for (const { id } of approvals.pending()) approvals.decide(id, 'refuse', { name: 'test' });
});
afterAll(async () => {
  for (const server of [keyed, open]) await server[Symbol.asyncDispose]();
  for (const ring of rings) ring[Symbol.dispose]();
  rmSync(directory, { recursive: true, force: true });
});

const send = (key: string, route: string, request: RawRequest = {}, server = keyed) =>
  sendRaw(server.port, route, { ...request, headers: { authorization: `Bearer ${key}`, ...request.headers } });
const answer = (key: string, id: string, body: object | string, server = keyed) =>
  send(
    key,
    `/approvals/${id}`,
    {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    },
    server,
  );

/** Code of an owner asks. */
function ask(owner: string, args: Record<string, unknown> = { title: 'x' }) {
  const caller = { owner, sessionId: 'gbx_1', executionId: 'exe_1' };
  const ended = new AbortController();
  const asked = approvals.ask(
    { caller, server: 'github', tool: 'create_issue', arguments: args, mode: 'writes' },
    {},
    { signal: ended.signal },
  );
  return { asked, end: () => ended.abort(), id: approvals.pending().at(-1)?.id ?? '' };
}

test.each([
  ['with keys', () => keyed],
  ['without keys', () => open],
])('a question is listed and answered with a key that may approve, on a server %s', async (_how, server) => {
  const { asked, id } = ask('alice');
  const listed = await send(everybodys, '/approvals', {}, server());
  expect(listed.json().approvals).toEqual([
    {
      approval_id: id,
      owner: 'alice',
      session_id: 'gbx_1',
      execution_id: 'exe_1',
      server: 'github',
      tool: 'create_issue',
      arguments: '{"title":"x"}',
      mode: 'writes',
      changed: false,
      answers: ['once', 'session', 'refuse'],
      asked_at: expect.any(String),
      expires_at: expect.any(String),
    },
  ]);
  expect((await answer(everybodys, id, { answer: 'once' }, server())).json()).toEqual({
    approval_id: id,
    answer: 'once',
  });
  expect(await asked).toBe('once');
  const late = await answer(everybodys, id, { answer: 'refuse' }, server());
  expect([late.status, late.json().error.code]).toEqual([409, 'approval_over']);
});

test('a key for one owner sees and answers the questions of that owner only', async () => {
  const [own, other] = [ask('alice'), ask('bob')];
  expect((await send(alices, '/approvals')).json().approvals).toMatchObject([{ approval_id: own.id }]);
  const foreign = await answer(alices, other.id, { answer: 'once' });
  const unknown = await answer(alices, 'apr_never', { answer: 'once' });
  expect(foreign.status).toBe(404);
  expect(foreign.json().error.message.replace(other.id, '')).toBe(
    unknown.json().error.message.replace('apr_never', ''),
  );
  for (const { end } of [own, other]) end();
});

test('a question is over with the code that asked it, and a late answer is told so', async () => {
  const { id, end, asked } = ask('alice');
  end();
  expect(await asked).toBe('refused');
  const late = await answer(everybodys, id, { answer: 'once' });
  expect(late.json().error).toMatchObject({ code: 'approval_over', message: expect.stringContaining('has ended') });
});

test('a key that runs code answers no question, not even its own', async () => {
  const { id, end, asked } = ask('alice');
  for (const key of [alice, bob]) {
    for (const refused of [await send(key, '/approvals'), await answer(key, id, { answer: 'once' })]) {
      expect(refused.status).toBe(403);
      expect(refused.json().error).toMatchObject({
        code: 'forbidden',
        hint: expect.stringContaining('--may approve'),
      });
    }
  }
  for (const refused of [
    await sendRaw(open.port, '/approvals'),
    await answer(alice, id, { answer: 'once' }, open),
    await answer('gbk_wrong', id, { answer: 'once' }, open),
  ])
    expect(refused.json().error).toMatchObject({ code: 'forbidden', message: expect.stringContaining('"local"') });
  expect((await answer('gbk_wrong', id, { answer: 'once' })).status).toBe(401);
  expect((await send(alice, '/approvals', { headers: { 'x-api-key': everybodys } })).status).toBe(401);
  end();
  expect(await asked).toBe('refused');
});

test.each([
  ['POST', '/execute'],
  ['POST', '/execute/stream'],
  ['GET', '/sessions'],
  ['POST', '/sessions'],
  ['DELETE', '/sessions/x'],
  ['GET', '/executions'],
  ['POST', '/executions/x/input'],
  ['POST', '/executions/x/signal'],
  ['GET', '/health?deep=1'],
  ['POST', '/mcp'],
  ['GET', '/mcp'],
  ['DELETE', '/mcp'],
  ['GET', '/sse'],
  ['POST', '/messages'],
])('a key that may approve can do nothing else: %s %s', async (method, route) => {
  for (const server of [keyed, open]) {
    const refused = await send(everybodys, route, { method }, server);
    expect([refused.status, refused.json().error.code]).toEqual([403, 'forbidden']);
  }
});

test('a key that may approve reads what the API is', async () => {
  for (const route of ['/', '/tools', '/openapi.json']) expect((await send(everybodys, route)).status).toBe(200);
});

test('a key that is revoked answers nothing any more', async () => {
  const { key } = addApprover(approvers, 'dave', { owner: 'erin' });
  const { id, end } = ask('erin');
  expect((await send(key, '/approvals')).json().approvals).toMatchObject([{ approval_id: id }]);
  revokeKeys(path, 'dave');
  expect((await send(key, '/approvals')).status).toBe(401);
  end();
});

test.each([
  ['', 'no body'],
  ['{"answer": "yes"}', '"once", "session" and "refuse"'],
  ['{"answer": true}', '"once", "session" and "refuse"'],
  ['{"answr": "once"}', 'There is no field "answr"'],
  ['[]', 'an array'],
])('an answer that is none decides nothing: %s', async (body, message) => {
  const { id, end } = ask('alice');
  const refused = await answer(everybodys, id, body);
  expect(refused.status).toBe(400);
  expect(refused.json().error.message).toContain(message);
  expect(approvals.pending()).toHaveLength(1);
  end();
});
