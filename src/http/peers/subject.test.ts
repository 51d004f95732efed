import { describe, expect, test } from 'vitest';
import { tagged, tagOf } from '../../peers/tag.ts';
import { type CallRules, type RoutedRequest, type Subject, subjectOf } from './subject.ts';

const TOOLS: Record<string, ReadonlySet<string>> = {
  run: new Set(['code', 'session_id']),
  get: new Set(['execution_id']),
  list: new Set(),
};
const rules = (fallback: 'new' | 'owner' = 'owner'): CallRules => ({
  argumentsOf: (name) => TOOLS[name],
  fallback: { rest: fallback, mcp: fallback },
});

interface Given {
  headers?: Record<string, string>;
  body?: object | string;
  fallback?: 'new' | 'owner';
}

function ask(line: string, { headers = {}, body, fallback }: Given = {}): Subject | undefined {
  const [method = '', target = ''] = line.split(' ');
  const url = new URL(target, 'http://x');
  const request: RoutedRequest = {
    ...{ method, path: url.pathname },
    body: typeof body === 'object' ? JSON.stringify(body) : body,
    header: (name) => headers[name],
    query: (name) => url.searchParams.get(name) ?? undefined,
  };
  return subjectOf(request, rules(fallback));
}

const session = (id: string) => ({ kind: 'session', id });
const execution = (id: string) => ({ kind: 'execution', id });
const key = (id: string) => ({ kind: 'idempotency_key', id });
const TAG = tagOf('run-1');
const tag = { kind: 'tag', id: TAG };

describe('paths', () => {
  test.each<[string, object | undefined]>([
    ['GET /sessions/a', session('a')],
    ['DELETE /sessions/a', session('a')],
    ['GET /sessions/a%20b/files/x/y', session('a b')],
    ['PUT /sessions/a/files/x', session('a')],
    ['POST /sessions/a/fork', session('a')],
    ['GET /sessions/a/terminals/t/attach?from=1', session('a')],
    ['GET /executions/exe_1', execution('exe_1')],
    ['DELETE /executions/exe_1', execution('exe_1')],
    ['POST /executions/exe_1/input', execution('exe_1')],
    ['POST /approvals/apr_1', { kind: 'approval', id: 'apr_1' }],
    [`POST /messages?sessionId=${tagged('u-u', 'run-1')}`, tag],
    ['POST /messages?sessionId=u-u', undefined],
    ['GET /approvals', undefined],
    ['GET /sessions', undefined],
    ['GET /sessions/', undefined],
    ['GET /sessions/%ff', undefined],
    [`GET /sessions/${'a'.repeat(300)}`, undefined],
    ['GET /executions', undefined],
    ['GET /snapshots/snp_1', undefined],
    ['GET /', undefined],
    ['GET /health', undefined],
    ['GET /sse', undefined],
  ])('%s', (line, expected) => {
    expect(ask(line)).toEqual(expected);
  });
});

describe('a new session', () => {
  test('is about its name, in the body or the query', () => {
    expect(ask('POST /sessions', { body: { name: 'mine' } })).toEqual(session('mine'));
    expect(ask('POST /sessions?name=mine')).toEqual(session('mine'));
    expect(ask('POST /sessions?name=query', { body: { name: 'body' } })).toEqual(session('body'));
  });

  test('without a name may be anywhere, or where its key leads', () => {
    expect(ask('POST /sessions', { body: {} })).toBeUndefined();
    expect(ask('POST /sessions', { headers: { 'idempotency-key': 'k' } })).toEqual(key('k'));
  });
});

describe.each(['/execute', '/execute/stream', '/execute/stream?stdin=1'])('a call of POST %s', (path) => {
  const call = (body: object | string, given: Given = {}) => ask(`POST ${path}`, { body, ...given });

  test.each<[string, object, Given, object | undefined]>([
    ['its argument', { name: 'run', arguments: { session_id: 'a' }, session_id: 'b' }, {}, session('a')],
    ['its argument as text', { name: 'run', arguments: '{"session_id": "a"}' }, {}, session('a')],
    ['its field', { name: 'run', session_id: 'b' }, { headers: { 'x-session-id': 'c' } }, session('b')],
    [
      'its field, if the argument is empty',
      { name: 'run', arguments: { session_id: '' }, session_id: 'b' },
      {},
      session('b'),
    ],
    ['its header', { name: 'run' }, { headers: { 'x-session-id': 'c' } }, session('c')],
    ['its owner', { name: 'run' }, {}, session('default')],
    ['nothing, if it gets a new one', { name: 'run' }, { fallback: 'new' }, undefined],
    [
      'its key, if it gets a new one',
      { name: 'run' },
      { fallback: 'new', headers: { 'idempotency-key': 'k' } },
      key('k'),
    ],
    ['its session also with a key', { name: 'run' }, { headers: { 'idempotency-key': 'k' } }, session('default')],
    ['its execution', { name: 'get', arguments: { execution_id: 'exe_1' } }, {}, execution('exe_1')],
    ['nothing, for a tool without a session', { name: 'list', session_id: 'a' }, {}, undefined],
    ['nothing, for no tool', { name: 'other', session_id: 'a' }, {}, undefined],
    ['nothing, without a name', { session_id: 'a' }, {}, undefined],
  ])('is about %s', (_what, body, given, expected) => {
    expect(call(body, given)).toEqual(expected);
  });

  test.each(['', '{', '[]', 'null', '{"name": 1}', '{"name": "run", "name": "run"}'])(
    '%s is for whoever gets it',
    (body) => {
      expect(call(body)).toBeUndefined();
    },
  );
});

test('a stream that is taken up again is where it began', () => {
  const last = `${tagged('abc', 'run-1')}.17`;
  expect(ask('POST /execute/stream', { headers: { 'last-event-id': last } })).toEqual(tag);
  expect(ask('POST /execute/stream', { headers: { 'last-event-id': 'abc.17' } })).toBeUndefined();
});

test('what is sent to a stream is where its key is', () => {
  const headers = { 'idempotency-key': 'k' };
  expect(ask('DELETE /execute/stream', { headers })).toEqual(key('k'));
  expect(ask('PUT /execute/stream/stdin', { headers })).toEqual(key('k'));
  expect(ask('DELETE /execute/stream')).toBeUndefined();
});

describe('MCP', () => {
  const send = (body: object | string, given: Given = {}, query = '') => ask(`POST /mcp${query}`, { body, ...given });
  const call = (params: object) => ({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });

  test.each<[string, object, Given, string, object | undefined]>([
    ['an argument', call({ name: 'run', arguments: { session_id: 'a' } }), {}, '?session=b', session('a')],
    ['the address', call({ name: 'run' }), { headers: { 'x-session-id': 'c' } }, '?session=b', session('b')],
    ['a header', call({ name: 'run' }), { headers: { 'x-session-id': 'c' } }, '', session('c')],
    ['the owner', call({ name: 'run' }), {}, '', session('default')],
    ['nothing, if it gets a new one', call({ name: 'run' }), { fallback: 'new' }, '', undefined],
    ['an execution', call({ name: 'get', arguments: { execution_id: 'exe_1' } }), {}, '', execution('exe_1')],
    ['what it goes on with', call({ name: 'run', requestState: tagged('sealed', 'run-1') }), {}, '', tag],
    ['a connection', call({ name: 'run' }), { headers: { 'mcp-session-id': tagged('u-u', 'run-1') } }, '', tag],
    ['no connection of another', call({ name: 'run' }), { headers: { 'mcp-session-id': 'u-u' } }, '', undefined],
    ['a task', { method: 'tasks/get', params: { taskId: 'exe_1' } }, {}, '', execution('exe_1')],
    ['no list of tasks', { method: 'tasks/list', params: {} }, {}, '', undefined],
    [
      'a file',
      { method: 'resources/read', params: { uri: 'glovebox://sessions/a%20b/files/x' } },
      {},
      '',
      session('a b'),
    ],
    [
      'no other address',
      { method: 'resources/read', params: { uri: 'https://x/sessions/a/files/x' } },
      {},
      '',
      undefined,
    ],
    ['nothing, for a tool without a session', call({ name: 'list' }), {}, '?session=b', undefined],
    ['nothing, for lists', { method: 'tools/list' }, {}, '?session=b', undefined],
    ['nothing, for a handshake', { method: 'initialize', params: {} }, {}, '?session=b', undefined],
  ])('%s', (_what, body, given, query, expected) => {
    expect(send(body, given, query)).toEqual(expected);
  });

  test.each(['', '[]', '[{"method": "tools/call"}]', '{"method": 1}'])('%s is for whoever gets it', (body) => {
    expect(send(body)).toBeUndefined();
  });

  test('a connection is where it was made, for all methods', () => {
    const headers = { 'mcp-session-id': tagged('u-u', 'run-1') };
    expect(ask('GET /mcp', { headers })).toEqual(tag);
    expect(ask('DELETE /mcp', { headers })).toEqual(tag);
    expect(ask('GET /mcp')).toBeUndefined();
  });
});

test('any other call with a key is where its key is', () => {
  const headers = { 'idempotency-key': 'k' };
  expect(ask('POST /somewhere', { headers })).toEqual(key('k'));
  expect(ask('GET /somewhere', { headers })).toBeUndefined();
});
